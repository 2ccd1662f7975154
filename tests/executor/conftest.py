import pytest
import torch


@pytest.fixture(autouse=True)
def _cuda_where_it_is(request):
    """A test of the CUDA engine runs where there is a device for it."""
    parameters = getattr(request.node, "callspec", None)
    if parameters and parameters.params.get("engine") == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
