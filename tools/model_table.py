"""Write all configs of a folder as one table: measured accuracy, MACs, and estimated milliseconds on every march.

Example: python tools/model_table.py --configs configs --out docs/model_zoo.md

Accuracy is what the headers of the configs say (hatlite/analysis/config_header.py has the form). MACs and milliseconds
are worked out, with random weights and without data, and kept in a file beside the table, docs/model_zoo.json; a
network that has changed is worked out again.
"""

import argparse
from pathlib import Path

from hatlite.command import ToolParser, start

TEXT = """# Model zoo

Written by `python tools/model_table.py --configs {configs} --out {out}`, from the configs and their headers: change
these, not this file.

- *stride* is of the backbone's last feature, *resolution* height × width of the image.
- *march*: a row is the config with `--opts march=…`, for its own march and others that run it; one without a march
  makes no integers.
- *float* to *int_infer*: mAP / AP50 on the data that the config's header names, where commands, date and machine stand
  too. Empty: not measured here.
- *GMACs*: by mmcv's rule, as `tools/calops.py` counts.
- *ms*: an image on the simulated march, every value through DRAM, with random weights, as `tools/compile_perf.py`
  estimates. No number is of a product.

{table}
"""


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_argument("--configs", type=Path, default=Path("configs"), help="folder of configs; default: configs")
    parser.add_argument("--out", type=Path, default=Path("docs/model_zoo.md"), help="default: docs/model_zoo.md")
    parser.add_argument("--afresh", action="store_true", help="work everything out again, as after a change of code")
    return parser


def main(args: argparse.Namespace) -> None:
    """Read the headers, work out what is missing, write the table."""
    from hatlite import engine
    from hatlite.files import output_folder, whole_file

    with output_folder(args.out.parent, of=args.out), engine.kept_results(args.out, afresh=args.afresh) as kept:
        rows = engine.zoo_rows(engine.find_configs(args.configs), kept, lambda said: print(said, flush=True))
        table = engine.zoo_table(rows, args.out.parent)
        with whole_file(args.out) as unfinished:
            text = TEXT.format(configs=args.configs.as_posix(), out=args.out.as_posix(), table=table)
            unfinished.write_text(text, encoding="utf-8")
    print(f"Written: {args.out}, {len(rows)} rows.")


if __name__ == "__main__":
    start(main, parser())
