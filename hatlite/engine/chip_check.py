"""Does a chip model compute what was trained? Both begin with the same pictures, each with its own pixels."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hatlite.data import Collate2D
from hatlite.engine.chip_infer import ChipDetector
from hatlite.engine.chip_settings import ChipSettings
from hatlite.engine.data_paths import build_on_data
from hatlite.engine.evaluation import evaluating, source_dataset
from hatlite.engine.kinds import program_stage, quantized_network
from hatlite.engine.program_files import is_program
from hatlite.engine.run import Run
from hatlite.errors import ConfigError
from hatlite.executor import dequantize_outputs
from hatlite.quantization import FakeQuantGraph

__all__ = ["ChipReport", "compare_chip", "verify_chip"]

KINDS = {"pixels": "pixels", "integers": "integers of the output", "reals": "real outputs"}
"""What is compared, and how it is called."""


@dataclass(frozen=True)
class ChipReport:
    """What was compared, bit for bit.

    Attributes:
        model: The file.
        images: How many went through.
        compared: ``pixels``, ``integers`` or ``reals`` → how many.
        differing: The same → how many of them differ.
    """

    model: Path
    images: int
    compared: dict[str, int]
    differing: dict[str, int]

    @property
    def passed(self) -> bool:
        """Whether nothing differs."""
        return not any(self.differing.values())

    def text(self) -> str:
        """Return one line."""
        listed = [f"{count:,} {KINDS[kind]}" for kind, count in self.compared.items()]
        where = (
            ""
            if self.passed
            else ": " + ", ".join(f"{count:,} {KINDS[kind]}" for kind, count in self.differing.items() if count)
        )
        return (
            f"{self.model} and the network that was trained: {self.images} images, {', '.join(listed[:-1])} and"
            f" {listed[-1]} compared, {sum(self.differing.values()):,} differ{where}."
        )


def verify_chip(run: Run, model: Path, num_images: int | None = None, checkpoint: Path | None = None) -> ChipReport:
    """Compare a chip model with the fake-quant graph, in eval mode, on the first pictures of the validation data.

    The model begins with a picture as it is loaded, as in tools/GNetDet.py, and the graph with what the transforms of
    validation make of it.

    Args:
        run: Config, data and folder.
        model: The file.
        num_images: How many; None for all.
        checkpoint: That the model was made from, in place of what int_infer starts from; a program tells of none.

    Raises:
        ConfigError: The config has no validation data, or they cannot say how a picture was before its transforms.
        StageError, CheckpointError: The checkpoint is missing or cannot be used.
        DataError: Data is missing or damaged.
        ProgramError: The model cannot be used.
    """
    pictures = _pictures(run, num_images)
    own = None if checkpoint is None or is_program(Path(checkpoint)) else Path(checkpoint)
    graph = quantized_network(run, program_stage(run), own)
    return compare_chip(model, graph, pictures)


def compare_chip(model: Path, graph: FakeQuantGraph, pictures: Iterable[tuple[NDArray[np.uint8], Any]]) -> ChipReport:
    """Compare a chip model with `graph`.

    Args:
        model: The file.
        graph: Of which the model was made.
        pictures: For each (H, W, 3) uint8 RGB, as loaded, and (1, 3, H, W) float32 as `graph` takes it.

    Raises:
        ProgramError: The model cannot be used.
    """
    detector = ChipDetector(model, ChipSettings())
    images, compared, differing = 0, dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0)
    with evaluating(graph):
        for images, (loaded, img) in enumerate(pictures, start=1):  # noqa: B007 (counts)
            ours, theirs = _of_chip(detector, loaded), _of_graph(graph, img)
            for kind in KINDS:
                compared[kind] += theirs[kind].size
                differing[kind] += _differing(ours[kind], theirs[kind])
    return ChipReport(model, images, compared, differing)


def _of_chip(detector: ChipDetector, loaded: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Return what enters the model and leaves it, as tools/GNetDet.py has it, by :data:`KINDS`; NHWC, reals NCHW."""
    network = detector.model.network
    entering = network.integers(detector.batch(loaded)["img"])
    leaving = network.executor.run(entering)
    (real,) = dequantize_outputs(network.executor.program, leaving).values()
    return {"pixels": next(iter(entering.values())), "integers": next(iter(leaving.values())), "reals": real}


def _of_graph(graph: FakeQuantGraph, img: torch.Tensor) -> dict[str, NDArray[Any]]:
    """Return the same of the graph."""
    integers = graph.integers(img)
    ends = {"pixels": next(iter(graph.sites)), "integers": next(iter(graph.outputs.values()))}
    found = {kind: integers[site].permute(0, 2, 3, 1).numpy() for kind, site in ends.items()}
    return {**found, "reals": next(iter(graph(img).values())).numpy()}


def _differing(values: NDArray[Any], expected: NDArray[Any]) -> int:
    """Return how many of `expected` are others in `values`; all of them where the shapes are not the same."""
    return int((values != expected).sum()) if values.shape == expected.shape else expected.size


def _pictures(run: Run, count: int | None) -> Iterator[tuple[NDArray[np.uint8], torch.Tensor]]:
    """Return the first pictures of validation as loaded, and behind the transforms; data are looked for at once."""
    loader = run.config.get("val_data_loader")
    if not isinstance(loader, Mapping):
        raise ConfigError("config['val_data_loader'] is missing, on whose pictures a chip model is compared.")
    dataset = source_dataset(build_on_data(run, {**loader, "num_workers": 0}, "['val_data_loader']"))
    if not hasattr(dataset, "load"):
        raise ConfigError(
            f"config['val_data_loader']['dataset'] is a {type(dataset).__name__}, which has no method load(index) that"
            " gives pictures as they were before the transforms; compare on a data set of hatlite's, such as GNetMeta."
        )
    chosen = range(len(dataset))[:count]
    return ((dataset.load(index)["img"], Collate2D()([dataset[index]])["img"]) for index in chosen)
