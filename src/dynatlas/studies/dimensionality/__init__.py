"""Dimensionality compression and expansion in deep neural networks (Recanatesi, Farrell et al. 2019)."""
