"""Runs an integer program on the host, bit-exactly, with one of several engines."""

from hatlite.executor.executor import ENGINES, Executor, check_engines, dequantize_outputs, register_engine

__all__ = ["ENGINES", "Executor", "check_engines", "dequantize_outputs", "register_engine"]
