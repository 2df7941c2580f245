"""Value of policies for users with different tastes."""
