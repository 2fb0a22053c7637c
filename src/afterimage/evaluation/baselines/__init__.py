"""What can be had without learning, by kind of observation. A learned row is worth what it gains on this."""
