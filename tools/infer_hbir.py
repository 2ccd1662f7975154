"""``tools/infer.py`` under its newer name: what the integer program detects."""

from hatlite.command import ToolParser, start, tool_beside

main, infer_parser = tool_beside(__file__, "infer.py")


def parser() -> ToolParser:
    """Return the parser of this tool."""
    return infer_parser(stage="int_infer")


if __name__ == "__main__":
    start(main, parser())
