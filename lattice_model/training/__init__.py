"""How a model is trained: configuration, optimizers, checkpoints and the loop, apart from what it computes."""
