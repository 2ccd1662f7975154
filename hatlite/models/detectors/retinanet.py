"""RetinaNet. Lin et al., Focal Loss for Dense Object Detection, ICCV 2017."""

from hatlite.models.detectors.anchor_detector import AnchorDetector
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["RetinaNet"]


@OBJECT_REGISTRY.register
class RetinaNet(AnchorDetector):
    """Anchors of which every class is judged by itself; all of them count, in a loss that heeds easy ones little.

    Arguments are those of :class:`~hatlite.models.detectors.anchor_detector.AnchorDetector`, with
    :class:`~hatlite.models.heads.retina_head.RetinaHead`, :class:`~hatlite.models.losses.focal_loss.FocalLoss` and
    :class:`~hatlite.models.postprocess.anchor_decoder.RetinaDecoder`; without a box coder its stds are 1.
    """

    decoder_example = "post_process=dict(type='RetinaDecoder', …)"
    softmax = False
    coder_stds = (1.0, 1.0, 1.0, 1.0)
