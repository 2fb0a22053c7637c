"""Observations: what is left of an image."""
