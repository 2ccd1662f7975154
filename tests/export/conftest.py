import pytest
import torch
from networks import ProofNetwork, images

from hatlite.lowering import lower
from hatlite.march import get_march
from hatlite.program import IntProgram
from hatlite.quantization import QConfig, prepare

SIZE = (36, 52)  # levels of 18×26, 9×13, 5×7, 3×4 and 2×2


@pytest.fixture(scope="session")
def proof_programs() -> dict[str, IntProgram]:
    """The proof network, lowered with int8 and with int16 activations."""
    programs = {}
    for dtype in ("int8", "int16"):
        graph = prepare(ProofNetwork(), QConfig(activation=dict(dtype=dtype)), images(1, *SIZE))
        with torch.no_grad():
            graph(images(2, *SIZE))
        graph.finish_calibration()
        metadata = {"task_name": "proof", "classes": ["a", "b"]}
        programs[dtype] = lower(graph, get_march("bayes-sim"), name="proof", metadata=metadata)
    return programs
