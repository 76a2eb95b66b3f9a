"""Optimisation methods that the papers introduce, and closed-form readouts: import the leaf modules."""
