"""Parts of the network that do not learn."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from torch import nn

from hatlite.engine.loop import Callback
from hatlite.errors import ConfigError
from hatlite.quantization.sites.batch_statistics import BatchStatistics
from hatlite.registry import OBJECT_REGISTRY, nearest

__all__ = ["FreezeBNStatistics", "FreezeModule", "modules_called"]

STATISTICS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@OBJECT_REGISTRY.register
class FreezeModule(Callback):
    """Keeps modules as they are from epoch `start_epoch` until epoch `stop_epoch`.

    Their parameters take no gradient, so that no optimizer moves them, by weight decay or momentum either; the batch
    norms among them stay in eval mode and keep their running statistics. Afterwards they learn as before. The epoch
    decides, so a resumed run needs no state of this.

    Args:
        modules: Paths inside the network, such as ``"backbone"``, or with ``*`` for any text, ``[0-3]`` for one
            of these: ``"backbone.stages.[0-3]"``, ``"*.bn"``. What lies below a module follows it.
        start_epoch: First epoch, counted from 0.
        stop_epoch: First epoch in which they learn again; None is never.
        only_batchnorm: Freeze the batch norms among them alone.

    Raises:
        ConfigError: The epochs are in no order. When training starts, before its first batch: a path names no module,
            or nothing is left that learns.
    """

    declined_keys: ClassVar = {
        "step_or_epoch": "write start_epoch and stop_epoch, and one FreezeModule for modules that share them.",
        "update_by": "what is frozen changes between epochs.",
    }

    def __init__(
        self,
        modules: Sequence[str],
        start_epoch: int = 0,
        stop_epoch: int | None = None,
        only_batchnorm: bool = False,
    ) -> None:
        if start_epoch < 0 or (stop_epoch is not None and stop_epoch <= start_epoch):
            text = f"FreezeModule: start_epoch is {start_epoch} and stop_epoch {stop_epoch}"
            raise ConfigError(f"{text}; expected 0 ≤ start_epoch < stop_epoch.")
        self.patterns = [modules] if isinstance(modules, str) else list(modules)
        self.start_epoch = start_epoch
        self.stop_epoch = stop_epoch
        self.only_batchnorm = only_batchnorm
        self.frozen: list[nn.Module] = []
        self.parameters: list[nn.Parameter] = []

    def on_loop_begin(self, loop: Any) -> None:
        """Find the modules."""
        chosen = [module for pattern in self.patterns for module in modules_called(loop.model, pattern, "FreezeModule")]
        inside = {id(module): module for top in chosen for module in top.modules()}
        self.frozen = [m for m in inside.values() if isinstance(m, STATISTICS) or not self.only_batchnorm]
        owned = {id(p): p for m in self.frozen for p in m.parameters(recurse=False) if p.requires_grad}
        self.parameters = list(owned.values())
        learning = sum(parameter.requires_grad for parameter in loop.model.parameters())
        if self.parameters and len(self.parameters) == learning:
            raise ConfigError(f"FreezeModule: modules {self.patterns} are all that learns; leave something to train.")

    def on_epoch_begin(self, loop: Any) -> None:
        """Freeze or thaw, whatever validation has left."""
        frozen = self.start_epoch <= loop.epoch and (self.stop_epoch is None or loop.epoch < self.stop_epoch)
        for parameter in self.parameters:
            parameter.requires_grad_(not frozen)
        for module in self.frozen:
            if isinstance(module, STATISTICS):
                module.train(not frozen)


@OBJECT_REGISTRY.register
class FreezeBNStatistics(Callback):
    """Keeps the running statistics of all batch norms as they are; their weights and biases learn on.

    In the qat stage too, where it takes the place of ``QConfig``'s ``bn_freeze_epoch`` from the first epoch on.
    """

    def on_epoch_begin(self, loop: Any) -> None:
        """Freeze them, whatever validation has left."""
        for module in loop.model.network.modules():
            if isinstance(module, STATISTICS):
                module.eval()
            elif isinstance(module, BatchStatistics):
                module.frozen = True


def modules_called(model: nn.Module, pattern: str, owner: str) -> list[nn.Module]:
    """Return the modules of ``model.network`` whose path `pattern` stands for; `owner` asks, for the message.

    Raises:
        ConfigError: None.
    """
    paths = {name: module for name, module in model.network.named_modules() if name}  # type: ignore[union-attr]
    found = [module for path, module in paths.items() if fnmatchcase(path, pattern)]
    if not found:
        top = [path for path in paths if "." not in path]
        text = f"{owner}: no module of the network is called {pattern!r}.{nearest(pattern, list(paths))}"
        raise ConfigError(f"{text}\n  Its parts are {', '.join(top)}; write backbone.* for what lies below one.")
    return found
