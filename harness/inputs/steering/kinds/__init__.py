"""One file for each steer kind; `harness.inputs.steering.registry` imports them."""
