"""Accuracy benchmarks through lm-eval."""
