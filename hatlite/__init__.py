"""hatlite: a dict config becomes a detector, the detector becomes integers, and every integer is provable.

::

    config → registry → data · models → engine → quantization → lowering → program → executor | compiler → simulator

This import is light; ``import hatlite.engine`` registers every type.
"""

__version__ = "0.1.0"
