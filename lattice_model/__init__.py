"""The model and its training: the Lattice Network, supervision, loader, trainer, metrics. No pyspark here."""
