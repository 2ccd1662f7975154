"""What a lowered network is certified for: dead channels, negative gammas, huge biases and shared towers included."""

import json

import pytest
import torch
from networks import LEVELS, ProofNetwork, images

from hatlite.lowering import lower
from hatlite.march import get_march
from hatlite.program import Certificate, certify, check_certificate, save
from hatlite.quantization import FakeQuantGraph, QConfig, prepare, scale_moves

SIZE = (36, 52)


@pytest.fixture(scope="module")
def graph() -> FakeQuantGraph:
    """The proof network, with a bias in its tower and a beta in a block that dwarf everything else."""
    network = ProofNetwork()
    with torch.no_grad():
        network.head.tower.bias[5] = 1e4
        network.backbone.blocks[1].bn1.bias[3] = -1e3
    graph = prepare(network, QConfig(), images(1, *SIZE))
    with torch.no_grad():
        graph(images(2, *SIZE))
    graph.finish_calibration()
    return graph.eval()


@pytest.fixture(scope="module")
def path(graph: FakeQuantGraph, tmp_path_factory: pytest.TempPathFactory):
    return save(lower(graph, get_march("bayes-sim"), name="proof"), tmp_path_factory.mktemp("proof") / "proof.hbir")


@pytest.fixture(scope="module")
def certificate(graph: FakeQuantGraph, path) -> Certificate:
    return certify(path, scale_moves(graph))


def test_what_the_graph_holds_for_proven_the_program_proves_anew(graph: FakeQuantGraph, certificate: Certificate):
    rounding = 0
    for layer in certificate.layers:
        site = graph.sites[layer.layer]
        proofs = {proof.rule: proof for proof in layer.proofs}
        assert (layer.module, layer.line, layer.output) == (site.path, site.line, site.dtype)
        assert not proofs.get("int64", layer.proofs[0]).refused
        if layer.kind == "conv2d" and layer.output != "int32":
            ranks = site.proven.tolist()
            refused = set(proofs["float32"].refused)
            assert not refused & {channel for channel, rank in enumerate(ranks) if rank >= 1}
            rounding += layer.output != "int16"
    assert rounding > 15
    assert certificate.counts()["float32"][0] > 0.8 * certificate.counts()["float32"][1]


def test_dead_channels_are_proven(graph: FakeQuantGraph, certificate: Certificate):
    stem = next(layer for layer in certificate.layers if layer.layer == "backbone_stem")
    assert not graph.sites["backbone_stem"].integers()[0][1].any()  # batch norm killed channel 1
    assert all(1 not in proof.refused for proof in stem.proofs)


def test_negative_gammas_and_huge_biases_are_proven(graph: FakeQuantGraph, certificate: Certificate):
    expand = next(layer for layer in certificate.layers if layer.module == "backbone.blocks.1.expand")
    site = graph.sites[expand.layer]
    assert (site.layers[1].weight < 0).any() and site.integers()[1].abs().max() > 2**20
    assert expand.worst is not None and expand.worst > 2**20 and expand.float32_exact
    assert {proof.rule: proof.proven for proof in expand.proofs}["float32"] == expand.channels


def test_a_shared_tower_has_a_certificate_for_each_of_its_calls(certificate: Certificate):
    towers = [layer for layer in certificate.layers if layer.module == "head.tower"]
    assert len({layer.layer for layer in towers}) == LEVELS
    assert len({layer.worst for layer in towers}) > 1  # five batch norms, five sets of integers
    assert all(layer.scale_moved is not None and 0 < layer.scale_moved.largest < 2**-6 for layer in towers)


def test_wide_results_are_left_to_exact_rules(certificate: Certificate):
    wide = [layer for layer in certificate.layers if layer.output == "int16"]
    assert wide
    for layer in wide:
        proofs = {proof.rule: proof for proof in layer.proofs}
        assert not proofs["float64"].refused and len(proofs["float32"].refused) == layer.channels


def test_it_holds_for_the_file(path, certificate: Certificate):
    assert check_certificate(json.loads(json.dumps(certificate.to_dict())), path) == []
