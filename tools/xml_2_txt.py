"""``tools/voc_to_meta.py`` under the name that GNetDet's toolkit gives it."""

from hatlite.command import start, tool_beside

main, parser = tool_beside(__file__, "voc_to_meta.py")

if __name__ == "__main__":
    start(main, parser())
