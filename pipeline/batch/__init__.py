"""Thousands of studies: an index of what there is, a durable ledger of what became of each, and who computes."""
