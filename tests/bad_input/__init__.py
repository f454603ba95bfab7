"""Every kind of bad input: one list of cases, which a test and a table in the docs are made of."""
