"""The models that the Lattice Network is measured against (paper 4): same processors and heads, other interactions."""
