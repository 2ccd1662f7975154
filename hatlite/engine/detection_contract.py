"""What a detector does behind its network, in the plain values that :mod:`hatlite.export` takes."""

from collections.abc import Mapping
from typing import Any

import torch

from hatlite.errors import BuildError
from hatlite.export import AnchorLevel, DetectionContract, OctaveAnchors, SizedAnchors
from hatlite.models import AnchorGenerator, SSDAnchorGenerator
from hatlite.models.anchors import LARGEST_GROWTH, CellAnchors
from hatlite.models.detectors.anchor_detector import AnchorDetector
from hatlite.models.postprocess.anchor_decoder import AnchorDecoder

__all__ = ["contract_of"]


def contract_of(
    model: Any, size: tuple[int, int], output_sizes: Mapping[str, tuple[int, int]]
) -> DetectionContract | None:
    """Return how `model` makes objects of its network's outputs; None for a detector without anchors.

    Args:
        model: A detector, of which an integer program may be what is left.
        size: (height, width) of the image.
        output_sizes: (height, width) of every output by its name.

    Raises:
        BuildError: The detector was built without post_process.
        DataError: It takes no image of this size.
    """
    kind, decoder = type(model).__name__, getattr(model, "post_process", None)
    if decoder is None and isinstance(model, AnchorDetector):
        raise BuildError(f"{kind}: detection needs {model.decoder_example} in the model; it was left out.")
    if not isinstance(decoder, AnchorDecoder):
        return None
    if isinstance(model, AnchorDetector):
        model.check_size(*size)
    generator, coder = decoder.anchor_generator, decoder.box_coder
    cells = [output_sizes[f"bbox_regression_s{stride}"] for stride in decoder.strides]
    levels = tuple(
        AnchorLevel(stride, f"cls_logits_s{stride}", f"bbox_regression_s{stride}", rows * columns * anchors)
        for stride, (rows, columns), anchors in zip(decoder.strides, cells, generator.num_anchors, strict=True)
    )
    return DetectionContract(
        kind=kind,
        size=size,
        levels=levels,
        num_classes=decoder.num_classes,
        background=decoder.background,
        anchors=generator.anchors(cells, torch.device("cpu")).numpy(),
        generated=_generated(generator),
        means=coder.means,
        stds=coder.stds,
        largest_growth=LARGEST_GROWTH,
        score_threshold=decoder.score_threshold,
        nms_pre=decoder.nms_pre,
        iou_threshold=decoder.iou_threshold,
        max_per_img=decoder.max_per_img,
    )


def _generated(generator: CellAnchors) -> tuple[SizedAnchors, ...] | OctaveAnchors | None:
    if isinstance(generator, SSDAnchorGenerator):
        sizes = zip(generator.min_sizes, generator.max_sizes, generator.ratios, strict=True)
        return tuple(SizedAnchors(*level) for level in sizes)
    if isinstance(generator, AnchorGenerator):
        octaves = (generator.octave_base_scale, generator.scales_per_octave, generator.center_offset)
        return OctaveAnchors(generator.ratios, *octaves)
    return None
