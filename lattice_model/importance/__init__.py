"""Permutation importance of a model's features, all tasks from one pass (paper 3.2.2; Breiman 2001)."""
