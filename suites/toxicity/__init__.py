"""Toxicity through Detoxify: scorer, trained classifier and its labels, violations."""
