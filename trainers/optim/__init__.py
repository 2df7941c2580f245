"""The optimization loop, optimizers, checkpoints and sharding."""
