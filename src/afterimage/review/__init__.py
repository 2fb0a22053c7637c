"""What a reviewer reads: the results of two revisions compared, and where a number comes from."""
