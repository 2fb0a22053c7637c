"""Training: one loop for all that learns, and the one place that writes and reads model folders."""
