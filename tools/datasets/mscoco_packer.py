"""``tools/mscoco_packer.py`` at the path that HAT's tutorial names."""

from hatlite.command import start, tool_beside

main, parser = tool_beside(__file__, "../mscoco_packer.py")

if __name__ == "__main__":
    start(main, parser())
