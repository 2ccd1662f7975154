"""``tools/validation_hbir.py --stage align_bpu`` under the name that HAT's tutorial gives it as well."""

import runpy
from pathlib import Path

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).with_name("validation_hbir.py")), run_name="__main__")
