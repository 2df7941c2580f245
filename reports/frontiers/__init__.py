"""Pareto frontiers of methods: planes, gaps to the true frontier, selection of settings."""
