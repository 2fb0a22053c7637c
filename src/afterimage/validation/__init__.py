"""Gates: what a stage wrote is held against what is expected of it, and the pipeline stops where that fails."""
