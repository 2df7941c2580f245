"""Inputs of stages beyond the pairs: prompt sets, sampled responses and rewards."""
