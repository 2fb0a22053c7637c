"""Afterimage rebuilds images from what is left of them and measures how much came back."""
