"""Ratios and limits of the pipeline, measured side by side on this machine: `python -m benchmarks`."""
