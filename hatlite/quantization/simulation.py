"""What a fake-quant graph rounds while it computes on real values."""

from dataclasses import dataclass

__all__ = ["OBSERVED", "Simulation"]


@dataclass(frozen=True)
class Simulation:
    """Rounding on real values: a network learns to live with one part of its integers before it has them all.

    A rounded value is a whole number of steps, handed on as the real number that these stand for. Nothing is claimed to
    be exact, so that such a graph trains in half precision like a float network.

    Attributes:
        weights: Weights are those that the integers of the layer stand for.
        activations: Results are clipped to their range and rounded to the steps of their scale.
        observed: Observers watch the results.
    """

    weights: bool = False
    activations: bool = False
    observed: bool = False


OBSERVED = Simulation(observed=True)
"""Nothing is rounded, and observers watch: calibration of a float network."""
