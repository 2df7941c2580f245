"""Judges: one file per kind; each decides which of two responses is the better one."""
