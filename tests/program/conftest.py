import numpy as np
import pytest

from hatlite.program import Add, Conv2d, IntProgram, MaxPool2d, Port, Requantize, Source, TensorType, Weight


@pytest.fixture
def program():
    """img → conv (ReLU) → add to itself → max-pool; a second conv leaves its accumulator."""
    common = {"weight": Weight(np.ones((4, 3, 3, 2))), "bias": np.arange(4), "padding": (1, 1)}
    ops = (
        Conv2d(
            name="stem",
            inputs=("img",),
            output="a",
            source=Source("backbone.stem", "net.py:31"),
            requantize=Requantize([16385] * 4, [20] * 4, 0, 255),
            stride=(2, 2),
            **common,
        ),
        Add(
            name="add", inputs=("a", "a"), output="b", multipliers=(2**19, 7), requantize=Requantize([1], [20], 0, 255)
        ),
        MaxPool2d(name="pool", inputs=("b",), output="c", kernel=(3, 3), stride=(2, 2), padding=(1, 1)),
        Conv2d(
            name="raw",
            inputs=("img",),
            output="d",
            source=Source("head.raw", "net.py:40"),
            requantize=None,
            activation_min=0,
            **common,
        ),
    )
    values = {
        "img": TensorType((7, 5, 2), "int8", 1 / 128),
        "a": TensorType((4, 3, 4), "uint8", 0.1),
        "b": TensorType((4, 3, 4), "uint8", 0.2),
        "c": TensorType((2, 2, 4), "uint8", 0.2),
        "d": TensorType((7, 5, 4), "int32", [0.1, 0.2, 0.3, 0.4]),
    }
    outputs = (
        Port("features_s4", "c", "uint8", 0.2, stride=4),
        Port("raw_s1", "d", "int32", [0.1, 0.2, 0.3, 0.4]),
    )
    metadata = {"classes": ["circle", "square"], "strides": [4, 1], "sizes": {"threshold": 0.5, "class": None}}
    return IntProgram("tiny", "bayes-sim", (Port("img", "img", "int8", 1 / 128),), outputs, ops, values, metadata)
