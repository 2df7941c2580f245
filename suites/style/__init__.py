"""Lexical style: readability, length and diversity."""
