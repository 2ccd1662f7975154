"""``tools/validation_hbir.py`` under its older name."""

from hatlite.command import start, tool_beside

main, parser = tool_beside(__file__, "validation_hbir.py")

if __name__ == "__main__":
    start(main, parser())
