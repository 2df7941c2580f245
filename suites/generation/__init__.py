"""Sampled responses of a policy: Hugging Face and vLLM back ends."""
