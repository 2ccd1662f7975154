"""The certificate of a program: for every layer and channel, which rules give its integers, and by which proof.

It is computed from the program alone, names it by its checksum, and can be proven anew by whoever has both.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hatlite.errors import ProgramError
from hatlite.march import get_march
from hatlite.program.bounds import register_bits
from hatlite.program.ops import Conv2d, Linear, Operator
from hatlite.program.program import IntProgram
from hatlite.program.proofs import Proof, accumulator_of, proofs_of
from hatlite.program.serialize import checksum, load
from hatlite.program.verify import verify

__all__ = [
    "Certificate",
    "LayerCertificate",
    "RuleProof",
    "ScaleMove",
    "certify",
    "check_certificate",
    "read_certificate",
]

FORMAT = 1


@dataclass(frozen=True)
class ScaleMove:
    """How far the weight scales of a layer moved from the ideal ones, as shares of these, 0.001 for a thousandth.

    Attributes:
        mean: Over the channels.
        largest: Of the channel that moved most.
        channel: Its number.
    """

    mean: float
    largest: float
    channel: int


@dataclass(frozen=True)
class RuleProof:
    """What is proven of one rule in one layer.

    Attributes:
        rule: Its name, see :mod:`hatlite.program.proofs`.
        proof: How it was shown.
        proven: Number of channels.
        refused: The other channels.
        why: What is wrong with them; empty where there are none.
        remedy: What would help.
    """

    rule: str
    proof: str
    proven: int
    refused: tuple[int, ...]
    why: str
    remedy: str


@dataclass(frozen=True)
class LayerCertificate:
    """One operator.

    Attributes:
        layer: Its name.
        kind: Operator, such as ``conv2d``.
        module: Path of the module in the network.
        line: Source line of the call.
        channels: Of the result.
        inputs: Types of the values that it reads.
        output: Type of the result.
        worst: Largest |acc| that some input reaches; None where nothing is summed.
        bits: Width of a signed register that holds every partial sum; None likewise.
        register: Width of the march's accumulator; None where it has none for this operator.
        float32_exact: Whether float32 holds every partial sum; None where nothing is summed.
        proofs: Rule by rule.
        scale_moved: Known where the graph was at hand.
    """

    layer: str
    kind: str
    module: str
    line: str
    channels: int
    inputs: tuple[str, ...]
    output: str
    worst: int | None
    bits: int | None
    register: int | None
    float32_exact: bool | None
    proofs: tuple[RuleProof, ...]
    scale_moved: ScaleMove | None = None


@dataclass(frozen=True)
class Certificate:
    """All layers of a program.

    Attributes:
        program: Name of the `.hbir` file, without its folder.
        sha256: Its checksum, 64 hexadecimal digits.
        march: Whose arithmetic it is.
        layers: In program order.
    """

    program: str
    sha256: str
    march: str
    layers: tuple[LayerCertificate, ...]

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return, rule by rule, how many channels are proven and how many were asked."""
        found: dict[str, tuple[int, int]] = {}
        for layer in self.layers:
            for proof in layer.proofs:
                proven, asked = found.get(proof.rule, (0, 0))
                found[proof.rule] = (proven + proof.proven, asked + layer.channels)
        return found

    def require(self, rule: str) -> None:
        """Refuse a certificate in which a channel that rounds is not proven for `rule`.

        Raises:
            ProgramError: Names the first such layer with module path, source line and remedy.
        """
        known = [name for name in self.counts() if name != "any"]
        if rule not in known:
            raise ProgramError(f"{self.program} was not asked for the rule {rule!r}; it was for {', '.join(known)}.")
        for layer in self.layers:
            for proof in layer.proofs:
                if proof.rule == rule and proof.refused:
                    raise ProgramError(
                        f"{self.program}: {layer.kind} {layer.layer!r} ({layer.module} {layer.line}) is not proven for"
                        f" {rule!r} in {len(proof.refused)} of {layer.channels} channels: {proof.why}; {proof.remedy}."
                    )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        totals = {rule: {"proven": proven, "channels": asked} for rule, (proven, asked) in self.counts().items()}
        return {"format": FORMAT, "totals": totals, **json.loads(json.dumps(asdict(self)))}


def certify(path: str | os.PathLike[str], moves: Mapping[str, Sequence[float]] | None = None) -> Certificate:
    """Return the certificate of the program in `path`.

    Args:
        path: `.hbir` file.
        moves: Layer → how far the weight scale of each channel moved, from the graph that it was lowered from.

    Raises:
        ProgramError: The file cannot be used, or a layer lacks what every one needs, such as a sum that fits its
            accumulator; names module path, source line and remedy.
    """
    program = verify(load(path))
    layers = tuple(_layer(program, op, _move((moves or {}).get(op.name, ()))) for op in program.ops)
    return Certificate(Path(path).name, checksum(path), program.march, layers)


def _move(shares: Sequence[float]) -> ScaleMove | None:
    if not len(shares):
        return None
    return ScaleMove(float(np.mean(shares)), float(np.max(shares)), int(np.argmax(shares)))


def _layer(program: IntProgram, op: Operator, moved: ScaleMove | None) -> LayerCertificate:
    inputs, output = [program.values[name] for name in op.inputs], program.values[op.output]
    accumulator = accumulator_of(op, inputs)
    register = None
    if isinstance(op, (Conv2d, Linear)):
        register = register_bits(op, inputs[0].dtype, get_march(program.march).arithmetic)
    return LayerCertificate(
        layer=op.name,
        kind=op.kind,
        module=op.source.module,
        line=op.source.line,
        channels=output.shape[2],
        inputs=tuple(value.dtype for value in inputs),
        output=output.dtype,
        worst=accumulator.worst if accumulator else None,
        bits=accumulator.bits if accumulator else None,
        register=register,
        float32_exact=accumulator.float32_exact if accumulator else None,
        proofs=tuple(map(_rule, proofs_of(op, inputs, output))),
        scale_moved=moved,
    )


def _rule(proof: Proof) -> RuleProof:
    refused = tuple(np.flatnonzero(~proof.proven).tolist())
    return RuleProof(proof.rule, proof.method, int(proof.proven.sum()), refused, proof.why, proof.remedy)


def read_certificate(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the plain values of a ``certificate.json``.

    Raises:
        ProgramError: The file is missing, damaged or of another format.
    """
    try:
        stated = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as problem:
        raise ProgramError(f"{path}: cannot be read ({problem.strerror}).") from problem
    except (ValueError, RecursionError) as problem:
        raise ProgramError(f"{path}: is no certificate ({problem}); write it again with tools/certify.py.") from problem
    given = stated.get("format") if isinstance(stated, dict) else None
    if given != FORMAT or not isinstance(stated.get("layers"), list):
        raise ProgramError(f"{path}: is no certificate of format {FORMAT}; write it again with tools/certify.py.")
    return stated


def check_certificate(stated: Mapping[str, Any], path: str | os.PathLike[str]) -> list[str]:
    """Prove the program in `path` anew and return what `stated` claims and this does not find; nothing if it holds.

    How far scales moved is no claim about the program, and not compared.

    Args:
        stated: From :func:`read_certificate`.
        path: `.hbir` file that it should belong to.

    Raises:
        ProgramError: The file cannot be used.
    """
    found = certify(path)
    if stated.get("sha256") != found.sha256:
        return [f"it is about a program with the checksum {stated.get('sha256')}; {path} has {found.sha256}"]
    proven = found.to_dict()
    claims = [_without_moves(layer) for layer in stated["layers"]], [_without_moves(one) for one in proven["layers"]]
    rest = ({key: side.get(key) for key in ("march", "totals")} for side in (stated, proven))
    return [*_differences("certificate", *rest), *_layer_differences(*claims)]


def _without_moves(layer: Any) -> Any:
    return {key: value for key, value in layer.items() if key != "scale_moved"} if isinstance(layer, dict) else layer


def _layer_differences(stated: Sequence[Any], found: Sequence[Any]) -> Iterator[str]:
    if len(stated) != len(found):
        yield f"it has {len(stated)} layers; the program has {len(found)}"
    for claim, fact in zip(stated, found, strict=False):
        yield from _differences(f"layer {fact['layer']!r}", claim, fact)


def _differences(what: str, claim: Any, fact: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(claim, Mapping) or set(claim) != set(fact):
        yield f"{what} does not state exactly {', '.join(fact)}"
        return
    for key, value in fact.items():
        if (
            isinstance(value, list)
            and isinstance(claim[key], list)
            and key == "proofs"
            and len(value) == len(claim[key])
        ):
            for one, other in zip(claim[key], value, strict=True):
                yield from _differences(f"{what}, rule {other['rule']!r}", one, other)
        elif claim[key] != value:
            yield f"{what} states {key} {claim[key]!r}; found is {value!r}"
