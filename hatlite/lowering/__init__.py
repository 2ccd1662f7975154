"""A fake-quant graph becomes an integer program."""

from hatlite.lowering.lower import assemble, lower

__all__ = ["assemble", "lower"]
