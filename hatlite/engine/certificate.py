"""The certificate of a run: what is proven of its program, and how far the scales of its graph moved for that."""

from hatlite import config as config_module
from hatlite.engine.run import Run
from hatlite.files import whole_file
from hatlite.log import get_logger
from hatlite.program import Certificate, certificate_markdown, certify
from hatlite.quantization import FakeQuantGraph, scale_moves

__all__ = ["write_certificate"]

logger = get_logger(__name__)


def write_certificate(run: Run, graph: FakeQuantGraph) -> Certificate:
    """Write ``certificate.json`` and ``certificate.md`` beside the program of `run`, lowered from `graph`.

    Raises:
        ProgramError: The program cannot be used, or a layer lacks what every one needs.
    """
    certificate = certify(run.program(), scale_moves(graph))
    config_module.dump(certificate.to_dict(), run.folder / "certificate.json")
    with whole_file(run.folder / "certificate.md") as unfinished:
        unfinished.write_text(certificate_markdown(certificate), encoding="utf-8")
    counts = certificate.counts().items()
    proven = ", ".join(f"{rule} {found:,} of {asked:,}" for rule, (found, asked) in counts if rule != "any")
    logger.info("Certificate: channels proven %s.", proven)
    return certificate
