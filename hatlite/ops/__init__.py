"""Tensor functions (`boxes`, `nms`) and integer arithmetic in plain NumPy (`integer`); import the module that you need."""

__all__: list[str] = []
