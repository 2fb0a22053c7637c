"""Reconstructors: each turns one kind of observation back into an image."""
