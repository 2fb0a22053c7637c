"""Campaigns: long, seeded searches for what the project does not survive. Tests hold what they found."""
