"""Training records, their public forms, and their encoding as tokens."""
