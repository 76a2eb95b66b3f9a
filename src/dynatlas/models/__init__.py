"""Networks, written batched over ensemble members: import the leaf modules."""
