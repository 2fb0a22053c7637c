"""Bad luck in mid-run, drawn from a seed: `python -m campaigns.chaos`."""
