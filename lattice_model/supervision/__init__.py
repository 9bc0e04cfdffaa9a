"""Losses: what the heads of a Lattice Network learn from (paper 3.3.5)."""
