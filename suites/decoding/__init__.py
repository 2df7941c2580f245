"""Decoding methods, which change how a policy answers and not its weights: one file for each kind."""
