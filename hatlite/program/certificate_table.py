"""A certificate for readers: a table of the layers and a list of the channels that a rule refuses."""

from collections.abc import Callable, Iterator

from hatlite.program.certificate import Certificate, LayerCertificate, RuleProof

__all__ = ["RULES", "certificate_markdown", "certificate_table"]

RULES = {
    "int64": "the definition; the device and the reference engine",
    "float64": "floor(acc · M · 2^−s + ½); the float32 and CUDA engines round so",
    "float32_floor": "the same in float32, where scales are powers of two; the training graph and these engines",
    "float32": "rint(fp32(acc) · m); the training graph and ONNX Runtime's QLinearConv",
    "float32_fused": "the same for a sum, with a fused multiply-add",
    "onednn": "oneDNN's fused int8 convolution and sum",
    "onednn_fused": "the same for a sum, with a fused multiply-add",
    "any": "the operator only selects among integers",
}
"""Rule → what it is and who rounds so."""

COLUMNS = ("layer", "kind", "channels", "proven", "proof", "worst sum", "bits", "float32 sums", "scale moved", "source")
RIGHT = ("channels", "worst sum", "bits", "scale moved")
SHOWN = 8
"""Channels that are listed by number."""


def certificate_table(certificate: Certificate) -> str:
    """Return plain text, one line per layer, then what is refused, then the totals."""
    lines = [list(COLUMNS), *map(_cells, certificate.layers)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    rows = ["  ".join(map(_align, COLUMNS, line, widths)).rstrip() for line in lines]
    return "\n".join([*rows, *_refusals(certificate, "  "), *_totals(certificate, "  ")])


def certificate_markdown(certificate: Certificate) -> str:
    """Return a Markdown page: which program, the totals, the table, what is refused and why."""
    head = [
        f"# Certificate of {certificate.program}",
        "",
        f"SHA-256 {certificate.sha256}, march {certificate.march}. Every claim covers every possible input; "
        "`tools/certify.py --check` proves it anew.",
        "",
        *_totals(certificate, "- "),
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
    ]
    rows = [f"| {' | '.join(cell.replace('|', '/') for cell in _cells(layer))} |" for layer in certificate.layers]
    return "\n".join([*head, *rows, "", *_refusals(certificate, "- ")]).rstrip() + "\n"


def _cells(layer: LayerCertificate) -> list[str]:
    return [
        layer.layer,
        layer.kind,
        str(layer.channels),
        ", ".join(_share(proof, layer.channels) for proof in layer.proofs if proof.proven),
        _each(layer, lambda proof: proof.proof),
        "" if layer.worst is None else f"{layer.worst:,}",
        _bits(layer),
        {None: "", True: "exact", False: "not exact"}[layer.float32_exact],
        "" if layer.scale_moved is None else f"{layer.scale_moved.largest:.1e}",
        f"{layer.module} {layer.line}".strip(),
    ]


def _share(proof: RuleProof, channels: int) -> str:
    return f"{proof.rule} {proof.proven}/{channels}" if proof.refused else proof.rule


def _each(layer: LayerCertificate, of: Callable[[RuleProof], str]) -> str:
    return ", ".join(dict.fromkeys(of(proof) for proof in layer.proofs if proof.proven))


def _bits(layer: LayerCertificate) -> str:
    if layer.bits is None:
        return ""
    return f"{layer.bits}/{layer.register}" if layer.register else str(layer.bits)


def _align(column: str, cell: str, width: int) -> str:
    return cell.rjust(width) if column in RIGHT else cell.ljust(width)


def _refusals(certificate: Certificate, bullet: str) -> Iterator[str]:
    """Yield a title and a line for what a layer refuses for one reason; nothing where all are proven."""
    found: dict[tuple, list[str]] = {}
    for layer in certificate.layers:
        for proof in layer.proofs:
            if proof.refused:
                place = f"{layer.kind} {layer.layer!r} ({f'{layer.module} {layer.line}'.strip() or 'source unknown'})"
                which = _channels(proof.refused, layer.channels)
                found.setdefault((place, which, f"{proof.why}; {proof.remedy}"), []).append(proof.rule)
    if found:
        yield "Refused (these layers take another engine, with the same integers):"
    for (place, which, reason), rules in found.items():
        yield f"{bullet}{place}, {which}, {' and '.join(rules)}: {reason}."


def _channels(refused: tuple[int, ...], channels: int) -> str:
    if len(refused) == channels:
        return "all channels"
    more = f" and {len(refused) - SHOWN} more" if len(refused) > SHOWN else ""
    return f"channel{'s' * (len(refused) > 1)} {', '.join(map(str, refused[:SHOWN]))}{more}"


def _totals(certificate: Certificate, bullet: str) -> Iterator[str]:
    for rule, (proven, asked) in certificate.counts().items():
        yield f"{bullet}{rule}: {proven:,} of {asked:,} channels proven. {RULES.get(rule, '')}".rstrip()
