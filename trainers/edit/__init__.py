"""Checkpoints as data: linear combinations, added tokens, rounds."""
