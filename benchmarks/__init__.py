"""Lattice beside its peers, one command each; results land in docs/results."""
