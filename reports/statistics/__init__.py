"""Estimates, joint resampling of seeds and prompts, and verdicts."""
