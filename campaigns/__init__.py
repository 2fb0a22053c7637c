"""Seeded campaigns against the project: what comes from outside, and bad luck in mid-run."""
