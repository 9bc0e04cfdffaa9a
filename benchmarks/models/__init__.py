"""Lattice, the ten models that it is measured against, LightGBM and separate models, on the same rows."""
