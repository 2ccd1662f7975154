"""The arithmetic of the accelerator in NumPy: `fixed_point` defines rounding, `reference` the operators."""

from hatlite.ops.integer import fixed_point, reference

__all__ = ["fixed_point", "reference"]
