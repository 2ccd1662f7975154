"""A fake-quant graph becomes an integer program."""

from hatlite.lowering.lower import lower

__all__ = ["lower"]
