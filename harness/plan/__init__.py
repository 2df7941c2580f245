"""From an experiment to its stages: keys, recipes of policies, judges and cost estimates."""
