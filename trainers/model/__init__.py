"""The policy network: loading, attention, row layout, log-probabilities, sampling."""
