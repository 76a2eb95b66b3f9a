"""Lyapunov spectra as a readout of how training goes (Vogt, Puelma Touzel, Shlizerman and Lajoie 2020)."""
