import numpy as np
import pytest
import torch
from anchor_decoders import CELLS, SIZE, contract_for, retina_decoder, ssd_decoder

from hatlite.engine.detection_contract import contract_of
from hatlite.errors import BuildError, DataError
from hatlite.export import OctaveAnchors, SizedAnchors
from hatlite.models.anchors import LARGEST_GROWTH
from hatlite.models.anchors.cell_anchors import CellAnchors
from hatlite.registry import OBJECT_REGISTRY

ANCHORS = {"type": "SSDAnchorGenerator", "input_size": 32, "strides": [8, 16, 32], "ratios": [[2]] * 3}
SSD = {
    "type": "SSD",
    "backbone": {"type": "efficientnet", "widths": [8, 8, 8, 8, 8, 8, 8, 8], "depth_coefficient": 0.3},
    "neck": {"type": "FPN", "out_channels": 8, "out_strides": [8, 16, 32]},
    "head": {"type": "SSDHead", "num_classes": 2, "anchor_generator": ANCHORS},
    "post_process": {"type": "SSDDecoder", "test_cfg": {"score_thr": 0.1, "nms_pre": 9, "max_per_img": 7}},
}


def test_the_decoder_is_told_in_plain_values():
    contract = contract_for(ssd_decoder(score_thr=0.1, nms_pre=9, max_per_img=7, nms={"iou_threshold": 0.3}))
    assert (contract.size, contract.num_classes, contract.background, contract.logits) == (SIZE, 3, True, 4)
    assert (contract.score_threshold, contract.nms_pre, contract.iou_threshold, contract.max_per_img) == (
        0.1,
        9,
        0.3,
        7,
    )
    assert (contract.means, contract.stds, contract.largest_growth) == ((0,) * 4, (0.1, 0.1, 0.2, 0.2), LARGEST_GROWTH)
    assert [level.anchors for level in contract.levels] == [6 * 8 * 4, 3 * 4 * 6, 2 * 2 * 4]
    assert contract.levels[1][:3] == (16, "cls_logits_s16", "bbox_regression_s16")
    assert contract.generated[1] == SizedAnchors(12, 57, (2, 3))
    expected = ssd_decoder().anchor_generator.anchors(list(CELLS.values()))
    np.testing.assert_array_equal(contract.anchors, expected.numpy())
    assert contract.anchors.dtype == np.float32


def test_retinanet_has_no_background():
    contract = contract_for(retina_decoder())
    assert (contract.background, contract.logits) == (False, 3)
    assert contract.generated == OctaveAnchors((0.5, 1.0, 2.0), 2.0, 2, 0.5)


def test_anchors_of_somebodys_own_have_no_short_description():
    decoder = ssd_decoder()
    own = CellAnchors((8, 16, 32), decoder.anchor_generator.cells)
    decoder.bind_anchors(own, decoder.box_coder, True)
    assert contract_for(decoder).generated is None


def test_a_detector_is_asked_for_its_size_and_its_decoder():
    model = OBJECT_REGISTRY.build(SSD)
    sizes = {f"bbox_regression_s{stride}": (32 // stride,) * 2 for stride in (8, 16, 32)}
    assert contract_of(model, (32, 32), sizes).kind == "SSD"
    with pytest.raises(DataError, match="SSD: img is 64×32"):
        contract_of(model, (64, 32), sizes)
    without = OBJECT_REGISTRY.build({**SSD, "post_process": None})
    with pytest.raises(BuildError, match="SSD: detection needs post_process=dict.* in the model; it was left out"):
        contract_of(without, (32, 32), sizes)


def test_without_anchors_there_is_none():
    assert contract_of(torch.nn.Identity(), (32, 32), {}) is None
