"""Pure functions on tensors (`boxes`, `nms`) and, in `integer`, the definition of the integer arithmetic on NumPy."""
