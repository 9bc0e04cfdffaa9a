"""A run of several processes, started by torchrun: sharded tables, sharded or replicated dense parts (paper 3.5.1)."""
