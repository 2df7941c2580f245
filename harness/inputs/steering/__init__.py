"""Policies for users of the oracle world: kinds that turn a context into what is known of a user, and their exact tables."""
