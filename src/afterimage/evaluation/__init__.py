"""Evaluation: metrics, baselines and intervals. What is measured of a kind of observation is the module of its name."""
