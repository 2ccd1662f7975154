import copy

from torch import nn

from hatlite.nn import Quantizable


class Model(Quantizable, nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)


def test_requests_are_recorded_and_change_nothing_else():
    model = Model()
    before = copy.deepcopy(model.state_dict())
    assert (model.fuse_requested, model.qconfig_requested, model.deploy_inputs) == (False, (), None)
    model.fuse_model()
    model.set_qconfig()
    assert (model.fuse_requested, model.qconfig_requested) == (True, (None,))
    model.set_qconfig("other")
    assert model.qconfig_requested == ("other",)
    assert model.state_dict().keys() == before.keys()
    assert not Model().fuse_requested
