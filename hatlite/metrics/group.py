"""Several metrics as one, and metrics that a function of the config updates."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

__all__ = ["Metric", "MetricGroup", "UpdatedMetric"]


@runtime_checkable
class Metric(Protocol):
    """What is measured with: beside these methods ``bind(dataset)`` where it looks at detections."""

    def reset(self) -> None:
        """Start anew."""

    def update(self, *seen: Any) -> None:
        """Add what was seen."""

    def compute(self) -> dict[str, float]:
        """Return name → value."""


class MetricGroup(list):
    """A list of metrics that is asked like one; functions of a config go through it or call its `update`."""

    @classmethod
    def of(cls, metrics: Any) -> "MetricGroup":
        """Return `metrics`, one or a list or None, as a group."""
        return cls(metrics if isinstance(metrics, (list, tuple)) else [] if metrics is None else [metrics])

    def bind(self, dataset: Any) -> None:
        """Give every metric the data set."""
        for metric in self:
            metric.bind(dataset)

    def reset(self) -> None:
        """Start every metric anew."""
        for metric in self:
            metric.reset()

    def update(self, *seen: Any) -> None:
        """Show every metric the same."""
        for metric in self:
            metric.update(*seen)

    def compute(self) -> dict[str, float]:
        """Return the values of all; of one name the last counts."""
        return {name: value for metric in self for name, value in metric.compute().items()}


class UpdatedMetric:
    """A metric whose updates go through a function of the config; everything else is the metric's own.

    Args:
        metric: With ``update(batch, detections)``; or a :class:`MetricGroup`.
        update_func: Called as ``update_func(metrics, batch, detections)`` with a list; each of its members takes
            ``update(detections)``, as such functions write it, or ``update(batch, detections)``.
    """

    def __init__(self, metric: Any, update_func: Callable[[Any, Any, Any], None]) -> None:
        self.metric = metric
        self.update_func = update_func

    def __getattr__(self, name: str) -> Any:
        return getattr(self.metric, name)

    def update(self, batch: Mapping[str, Any], detections: Sequence[Any]) -> None:
        """Let the function update the metrics."""
        self.update_func(MetricGroup(_OfBatch(one, batch) for one in MetricGroup.of(self.metric)), batch, detections)


class _OfBatch:
    """A metric that knows which batch its detections belong to."""

    def __init__(self, metric: Any, batch: Mapping[str, Any]) -> None:
        self.metric = metric
        self.batch = batch

    def update(self, *seen: Any) -> None:
        self.metric.update(*(seen if len(seen) > 1 else (self.batch, *seen)))
