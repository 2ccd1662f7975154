"""Print which engines of the executor this machine can be trusted with, and what the self-test compared.

Example: python tools/check_engines.py

Exit code 0: at least one engine beside the reference is usable. 1: only the reference is.
"""

import argparse

from hatlite.command import ToolParser, start


def parser() -> ToolParser:
    """Return the parser of this tool."""
    return ToolParser(__doc__)


def main(args: argparse.Namespace) -> int:
    """Run the self-tests and print a line for each engine."""
    import hatlite.analysis  # noqa: F401 - brings the engine onnxruntime
    from hatlite.executor import check_engines

    checks = check_engines()
    print("\n".join(map(str, checks)))
    return 0 if any(check.usable for check in checks if check.engine != "reference") else 1


if __name__ == "__main__":
    start(main, parser())
