"""Tensor functions (`boxes`, `nms`) and, on NumPy alone, the integer arithmetic (`integer`); import what you need."""

__all__: list[str] = []
