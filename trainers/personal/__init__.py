"""Methods that fit a user from a few pairs: low-rank rewards, soft prompts, neural processes."""
