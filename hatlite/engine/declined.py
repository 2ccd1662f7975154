"""Names that configs of HAT may hold and hatlite answers with a sentence."""

from hatlite.registry import OBJECT_REGISTRY

__all__ = ["DECLINED"]

_CLASSES = "labels are class indices of boxes, which the losses read as they are; leave it out."

DECLINED = {
    "BgrToYuv444": "pictures are RGB and become centred YUV in ToTensor(to_yuv=True) and Normalize; write these.",
    "Batchify": "the DataLoader makes batches; give it a batch_size and collate_fn=dict(type='Collate2D').",
    "ComposeDataset": "write ConcatDataset, and RepeatDataset for the shares that its parts are to have.",
    "ConvertLayout": "ToTensor turns (H, W, 3) into (3, H, W); write that.",
    "FCOSMultiStrideFilter": "FCOSDecoder drops low scores, on the host; leave this out of deploy_model.",
    "FuseBN": "batch norms are folded where a stage quantises; qat_mode of its pipeline, or bn of QConfig, says how.",
    "LabelSmooth": _CLASSES,
    "ListToDict": "a sample is a dict from the start; leave it out.",
    "MeanTeacherValidation": "Validation measures the average that ExponentialMovingAverage keeps; write these two.",
    "ModelTracking": "a run's own folder says what it made and from what: stages.json and <stage>-config.json.",
    "MultiStageBatchProcessor": "a detector has one backward pass; write MultiBatchProcessor.",
    "OneHot": _CLASSES,
    "PadDetData": "Collate2D keeps boxes in lists of their own length, so nothing is padded; leave it out.",
    "QATFusePartBN": "Float2QAT folds all batch norms, as qat_mode says; leave it out.",
    "RepModel2Deploy": "no model here has branches that are merged for deployment; leave it out.",
    "Torch2Compile": "networks run without torch.compile, which would change sums; leave it out.",
    "TorchVisionAdapter": (
        "torchvision's transforms move no boxes and draw from another generator; register a callable"
        " transform(sample, rng) in a module that custom_imports names."
    ),
    "collect_loss_by_index": "a detector's losses have names and no places; write collect_loss_by_regex.",
    "data_parallel_trainer": "write distributed_data_parallel_trainer, which has a process for every device.",
}
"""Name to sentence."""

OBJECT_REGISTRY.decline(DECLINED)
