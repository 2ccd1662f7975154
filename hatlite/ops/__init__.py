"""Pure functions on tensors; import the module you need (``hatlite.ops.integer`` works without torch)."""
