"""Adaptive neural activation in recurrent networks during learning (Geadah et al. 2020)."""
