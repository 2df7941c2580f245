"""The gradient of a method over an optimizer batch, and the inputs it depends on."""
