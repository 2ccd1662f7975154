"""Decoders with anchors on small images, with what export knows of them."""

from types import SimpleNamespace
from typing import Any

import torch

from hatlite.engine.detection_contract import contract_of
from hatlite.export import DetectionContract
from hatlite.models import AnchorGenerator, DeltaXYWHCoder, RetinaDecoder, SSDAnchorGenerator, SSDDecoder
from hatlite.models.postprocess.anchor_decoder import AnchorDecoder

SIZE, STRIDES, CLASSES = (48, 64), (8, 16, 32), 3
CELLS = {8: (6, 8), 16: (3, 4), 32: (2, 2)}
"""(height, width) of the levels; the last does not divide the image."""


def ssd_decoder(coder: DeltaXYWHCoder | None = None, **test_cfg: Any) -> AnchorDecoder:
    """Return a bound decoder of softmax logits that gives boxes in pixels of the network's image."""
    generator = SSDAnchorGenerator(SIZE, STRIDES, [[2], [2, 3], [2]], (0.2, 0.9))
    return _bound(SSDDecoder(rescale=False, test_cfg=test_cfg), generator, coder or DeltaXYWHCoder(), True)


def retina_decoder(coder: DeltaXYWHCoder | None = None, **test_cfg: Any) -> AnchorDecoder:
    """Return a bound decoder of sigmoid logits that gives boxes in pixels of the network's image."""
    generator = AnchorGenerator(STRIDES, octave_base_scale=2.0, scales_per_octave=2, center_offset=0.5)
    coder = coder or DeltaXYWHCoder(stds=(1.0, 1.0, 1.0, 1.0))
    return _bound(RetinaDecoder(rescale=False, test_cfg=test_cfg), generator, coder, False)


def _bound(decoder: AnchorDecoder, generator: Any, coder: DeltaXYWHCoder, background: bool) -> AnchorDecoder:
    decoder.bind(CLASSES, STRIDES)
    decoder.bind_anchors(generator, coder, background)
    return decoder


def contract_for(decoder: AnchorDecoder) -> DetectionContract:
    """Return what export knows of `decoder`."""
    sizes = {f"bbox_regression_s{stride}": cells for stride, cells in CELLS.items()}
    contract = contract_of(SimpleNamespace(post_process=decoder), SIZE, sizes)
    assert contract is not None
    return contract


def shapes_for(decoder: AnchorDecoder) -> dict[str, tuple[int, int, int]]:
    """Return (C, H, W) of the outputs that `decoder` reads, by name."""
    shapes = {}
    for (stride, cells), anchors in zip(CELLS.items(), decoder.anchor_generator.num_anchors, strict=True):
        shapes[f"cls_logits_s{stride}"] = (anchors * (CLASSES + decoder.background), *cells)
        shapes[f"bbox_regression_s{stride}"] = (anchors * 4, *cells)
    return shapes


def random_outputs(decoder: AnchorDecoder, count: int, seed: int) -> dict[str, torch.Tensor]:
    """Return outputs of `count` images."""
    drawn = torch.Generator().manual_seed(seed)
    return {name: torch.randn(count, *shape, generator=drawn) for name, shape in shapes_for(decoder).items()}
