"""Table 1 in kind: what a model keeps when its features are chosen from a pool of thousands by one way or another."""
