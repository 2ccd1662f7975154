import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from hatlite.errors import ProgramError
from hatlite.program import (
    certificate_markdown,
    certificate_table,
    certify,
    check_certificate,
    read_certificate,
    save,
)
from hatlite.program.ops import OPERATORS
from hatlite.program.samples import random_program


@pytest.fixture
def path(program, tmp_path):
    return save(program, tmp_path / "tiny.hbir")


def stated(path):
    return json.loads(json.dumps(certify(path).to_dict()))


def test_layers_say_where_they_come_from_and_what_they_reach(path):
    certificate = certify(path, {"stem": [0.0, 1e-4, 3e-4, 0.0]})
    assert certificate.program == "tiny.hbir" and certificate.sha256 == path.read_bytes()[-32:].hex()
    stem, add, pool, raw = certificate.layers
    assert (stem.module, stem.line, stem.kind, stem.channels) == ("backbone.stem", "net.py:31", "conv2d", 4)
    assert (stem.inputs, stem.output, stem.worst, stem.bits, stem.register) == (("int8",), "uint8", 2304, 13, 32)
    assert dataclasses.astuple(stem.scale_moved) == pytest.approx((1e-4, 3e-4, 2))
    assert [proof.rule for proof in stem.proofs] == ["int64", "float64", "float32", "onednn"]
    assert (add.worst, add.bits, add.register, add.float32_exact) == (255 * (2**19 + 7), 28, None, False)
    assert (pool.worst, pool.float32_exact, [proof.rule for proof in pool.proofs]) == (None, None, ["any"])
    assert raw.scale_moved is None and raw.float32_exact is True
    assert certificate.counts()["int64"] == (12, 12) and certificate.counts()["any"] == (4, 4)


def test_the_table_and_the_page(path):
    certificate = certify(path, {"stem": [0.0, 1e-4, 3e-4, 0.0]})
    title, stem, *_ = certificate_table(certificate).splitlines()
    assert title.split("  ")[0] == "layer" and "float32 sums" in title and "scale moved" in title
    assert stem.split()[-2:] == ["backbone.stem", "net.py:31"] and "3.0e-04" in stem and "13/32" in stem
    page = certificate_markdown(certificate)
    assert page.startswith(f"# Certificate of tiny.hbir\n\nSHA-256 {certificate.sha256}, march bayes-sim.")
    assert "| stem | conv2d | 4 | int64, float64, float32, onednn | definition, exact, thresholds | 2,304 |" in page
    assert "- int64: 12 of 12 channels proven. the definition" in page
    rows = [line.count("|") for line in page.splitlines() if line.startswith("|")]
    assert len(rows) == 6 and set(rows) == {11}


def test_refused_channels_are_listed_with_reason_and_remedy(tmp_path):
    for seed in range(40):
        certificate = certify(save(random_program(seed), tmp_path / "r.hbir"))
        some = [(one, p) for one in certificate.layers for p in one.proofs if 0 < len(p.refused) < one.channels]
        if some:
            break
    layer, proof = some[0]
    assert proof.proven + len(proof.refused) == layer.channels and proof.why and proof.remedy
    text = certificate_table(certificate)
    assert "Refused (these layers take another engine, with the same integers):" in text
    assert f"{layer.kind} {layer.layer!r} ({layer.module} {layer.line}), channel" in text
    assert f"{proof.rule} {proof.proven}/{layer.channels}" in text
    with pytest.raises(ProgramError, match=rf"is not proven for '{proof.rule}' in \d+ of \d+ channels: .*; .*\.$"):
        certificate.require(proof.rule)
    certificate.require("int64")
    with pytest.raises(ProgramError, match="was not asked for the rule 'int7'; it was for .*int64, float64"):
        certificate.require("int7")


def test_every_operator_has_a_proof(tmp_path):
    seen = set()
    for seed in range(12):
        for layer in certify(save(random_program(seed), tmp_path / "r.hbir")).layers:
            seen.add(layer.kind)
            assert layer.proofs[0].rule in ("int64", "any") and not layer.proofs[0].refused
    assert seen == set(OPERATORS)


def test_a_certificate_holds_for_its_program_only(path, program, tmp_path):
    claims = stated(path)
    assert check_certificate(claims, path) == []
    other = save(dataclasses.replace(program, name="other"), tmp_path / "other.hbir")
    (said,) = check_certificate(claims, other)
    assert said.startswith(f"it is about a program with the checksum {claims['sha256']}; {other} has ")


def test_how_far_scales_moved_is_no_claim(path):
    claims = json.loads(json.dumps(certify(path, {"stem": [0.1]}).to_dict()))
    assert claims["layers"][0]["scale_moved"] == {"mean": 0.1, "largest": 0.1, "channel": 0}
    assert check_certificate(claims, path) == []


CHANGES = {
    "layer 'stem' states worst 5; found is 2304": lambda c: c["layers"][0].update(worst=5),
    "layer 'stem', rule 'onednn' states proven 3; found is 4": lambda c: c["layers"][0]["proofs"][3].update(proven=3),
    "layer 'stem' states proofs": lambda c: c["layers"][0]["proofs"].pop(),
    "layer 'stem' does not state exactly layer, kind,": lambda c: c["layers"][0].pop("bits"),
    "layer 'stem' does not state exactly": lambda c: c["layers"].__setitem__(0, 7),
    "it has 3 layers; the program has 4": lambda c: c["layers"].pop(),
    "certificate states totals": lambda c: c["totals"]["int64"].update(proven=11),
    "certificate states march 'x'; found is 'bayes-sim'": lambda c: c.update(march="x"),
}


@pytest.mark.parametrize("text", CHANGES)
def test_a_changed_claim_is_found(path, text):
    claims = stated(path)
    CHANGES[text](claims)
    assert [line for line in check_certificate(claims, path) if line.startswith(text)]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", r"is no certificate \(.*\); write it again"),
        ("[" * 100_000, r"is no certificate \(.*\); write it again"),
        ("[]", "is no certificate of format 1; write it again"),
        ('{"format": 2, "layers": []}', "is no certificate of format 1"),
        ('{"format": 1}', "is no certificate of format 1"),
    ],
)
def test_files_that_are_no_certificate(tmp_path, content, text):
    path = tmp_path / "certificate.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ProgramError, match=rf"certificate\.json: {text}"):
        read_certificate(path)
    with pytest.raises(ProgramError, match=r"none\.json: cannot be read \(No such file"):
        read_certificate(tmp_path / "none.json")


def test_a_sum_that_does_not_fit_is_no_certificate(program, tmp_path, monkeypatch):
    stem = dataclasses.replace(program.ops[0], bias=np.full(4, 2**31 - 1))
    broken = dataclasses.replace(program, ops=(stem, *program.ops[1:]))
    with monkeypatch.context() as patch:
        patch.setattr("hatlite.program.serialize.verify", lambda program: program)
        path = save(broken, tmp_path / "broken.hbir")
    with pytest.raises(
        ProgramError,
        match=r"broken\.hbir: tiny: conv2d 'stem' \(backbone.stem net.py:31\): channel 0: the accumulator can reach"
        r" \d+, beyond int32; give the layer fewer input channels",
    ):
        certify(path)


def test_a_proof_needs_no_torch(path):
    code = f"import sys; from hatlite.program import certify; certify({str(path)!r}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
