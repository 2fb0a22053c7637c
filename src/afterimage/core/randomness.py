"""Randomness that belongs to a sample, not to the worker, batch or run that happens to draw it."""

import hashlib

import numpy as np


def generator(seed: int, *words: str | int) -> np.random.Generator:
    """A generator of its own for a seed and what is drawn, such as a sample's key and the epoch."""
    text = "\x1f".join(str(word) for word in (seed, *words))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()))
