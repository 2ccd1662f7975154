"""The arithmetic of the accelerator in NumPy: `fixed_point` defines rounding, `reference` the operators."""
