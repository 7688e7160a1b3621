"""A reference learned once, and counts of later rows that add up."""
