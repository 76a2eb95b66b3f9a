"""Many networks trained as one computation: import the leaf modules."""
