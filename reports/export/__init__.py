"""Results of a run in the forms of others: Every Eval Ever's schema and the hub's `.eval_results`."""
