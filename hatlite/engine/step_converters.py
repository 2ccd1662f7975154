"""The converters of training in steps: rounded weights on real values, rounded activations too, then unit scales."""

from typing import Any

from hatlite.engine.conversion import Conversion, Converter
from hatlite.engine.converters import Float2QAT
from hatlite.errors import QuantizationError
from hatlite.quantization import Simulation, edit_gains, fuse_batch_norms
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["EditGain", "Float2ActivationQAT", "Float2WeightQAT", "FuseBatchNorm"]


@OBJECT_REGISTRY.register
class FuseBatchNorm(Converter):
    """Make every batch norm part of the layer before it, for good, in the weights that the model has and will load.

    A march whose values have no scales of their own does so by itself when the network is quantised.
    """

    takes = ("float",)

    def __call__(self, model: Any, conversion: Conversion) -> None:
        conversion.norms += fuse_batch_norms(model.network)


@OBJECT_REGISTRY.register
class Float2WeightQAT(Float2QAT):
    """Replace the network by its fake-quant graph, to compute on real values with rounded weights."""

    leaves = "qat_weights"
    simulation = Simulation(weights=True)


@OBJECT_REGISTRY.register
class Float2ActivationQAT(Float2QAT):
    """Replace the network by its fake-quant graph, to compute on real values with rounded weights and activations."""

    leaves = "qat_activations"
    simulation = Simulation(weights=True, activations=True)


@OBJECT_REGISTRY.register
class EditGain(Converter):
    """Fold the ranges of activations into the weights, where every value of the march has scale 1.

    It takes scales that were loaded or, in training that starts without any, those that the first batches give. On a
    march whose values have scales of their own there is nothing to do.

    Raises:
        QuantizationError: It was done before, in the checkpoint that was loaded, or the network lets no gain pass.
    """

    takes = ("qat",)
    only_loads = True  # of weights, which a stage that is resumed has

    def __call__(self, model: Any, conversion: Conversion) -> None:
        if not conversion.qconfig.arithmetic.unit_scales:
            return
        conversion.find_scales(model)
        try:
            edit_gains(model.network)
        except QuantizationError as problem:
            raise QuantizationError(f"{conversion.loaded or conversion.run.source}: {problem}") from None
