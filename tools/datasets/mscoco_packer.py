"""``tools/mscoco_packer.py`` at the path that HAT's tutorial names."""

import runpy
from pathlib import Path

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).parents[1] / "mscoco_packer.py"), run_name="__main__")
