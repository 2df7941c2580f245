"""Verbs that read finished runs."""
