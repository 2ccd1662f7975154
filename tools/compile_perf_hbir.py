"""``tools/compile_perf.py`` under its newer name."""

from hatlite.command import start, tool_beside

main, parser = tool_beside(__file__, "compile_perf.py")

if __name__ == "__main__":
    start(main, parser())
