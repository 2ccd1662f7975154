"""Suppression: by hand, against a plain loop, and the same whatever the prefix."""

import types

import torch

import hatlite.ops.nms as nms_module
from hatlite.ops.boxes import iou
from hatlite.ops.nms import class_aware_nms


def random_boxes(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 40
    size = torch.rand(count, 2, generator=generator) * 30 + 5
    scores = (torch.rand(count, generator=generator) * 20).round() / 20  # many ties
    return torch.cat([corner, corner + size], 1), scores, torch.randint(0, 3, (count,), generator=generator)


def plain_nms(boxes, scores, labels, threshold):
    kept = []
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i].item(), i)):
        if all(labels[i] != labels[j] or iou(boxes[i].double(), boxes[j].double()) <= threshold for j in kept):
            kept.append(i)
    return kept


def test_only_the_same_class_suppresses():
    boxes = torch.tensor([[0.0, 0, 10, 10], [1.0, 0, 11, 10], [1.0, 0, 11, 10], [50.0, 50, 60, 60]])
    scores, labels = torch.tensor([0.5, 0.9, 0.8, 0.1]), torch.tensor([0, 0, 1, 0])
    assert class_aware_nms(boxes, scores, labels, 0.5).tolist() == [1, 2, 3]
    assert class_aware_nms(boxes, scores, labels, 0.5, max_keep=2).tolist() == [1, 2]


def test_of_equal_scores_the_first_wins():
    boxes = torch.tensor([[0.0, 0, 10, 10]]).repeat(5, 1)
    assert class_aware_nms(boxes, torch.full((5,), 0.5), torch.zeros(5, dtype=torch.int64), 0.5).tolist() == [0]


def test_nothing_in_nothing_out():
    empty = class_aware_nms(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), 0.5, max_keep=10)
    assert empty.tolist() == []
    assert empty.dtype == torch.int64


def test_agrees_with_a_plain_loop():
    for seed in range(5):
        boxes, scores, labels = random_boxes(40, seed)
        assert class_aware_nms(boxes, scores, labels, 0.4).tolist() == plain_nms(boxes, scores, labels, 0.4)


def test_trying_the_best_first_changes_nothing(monkeypatch):
    boxes, scores, labels = random_boxes(200)
    everything = class_aware_nms(boxes, scores, labels, 0.3)
    for prefix in (1, 7, 50):
        monkeypatch.setattr(nms_module, "_FIRST_PREFIX", prefix)
        for keep in (1, 5, 10_000):
            assert torch.equal(class_aware_nms(boxes, scores, labels, 0.3, keep), everything[:keep])


def test_a_torchvision_without_such_a_library_is_imported_as_a_whole(monkeypatch, tmp_path):
    asked = []
    empty = types.SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(nms_module, "find_spec", lambda name: empty)
    monkeypatch.setattr(nms_module.importlib, "import_module", asked.append)
    nms_module._load_kernels()
    assert asked == ["torchvision.ops"]
