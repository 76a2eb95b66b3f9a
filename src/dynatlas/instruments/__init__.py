"""Measurements of a run, of any network, or of plain data."""
