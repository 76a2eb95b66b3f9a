"""Efficient and robust multi-task learning with modular task primitives (arXiv 2105.14108)."""
