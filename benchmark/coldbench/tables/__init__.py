"""What a table is: the five of the paper, and a user's own, as data."""
