"""How every tool ends: a sentence and exit code 2 instead of a traceback."""

import sys
from collections.abc import Callable

from hatlite.errors import HatliteError

USER_ERROR = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def run_tool(main: Callable[[], int | None], *, debug: bool = False) -> int:
    """Call `main` and return the exit code; a :class:`HatliteError` is printed as its message alone.

    Args:
        main: The tool's work; None counts as 0.
        debug: Let the traceback through.
    """
    try:
        return main() or 0
    except HatliteError as error:
        if debug:
            raise
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
