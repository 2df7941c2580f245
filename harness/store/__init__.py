"""The content-addressed store and the files that its artifacts hold."""
