"""The model and its training: the Lattice Network, supervision, loader, trainer, metrics. No pyspark here."""

import logging

# TorchRec asks torch whether a graph is being traced, and torch then tells every user to ask in another way.
logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)
