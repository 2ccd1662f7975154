"""What was found unusable in a data set, counted and with examples."""

from collections.abc import Mapping, Sequence

from hatlite.errors import DataError

__all__ = ["EXAMPLES", "DataReport", "listed", "refusal"]

EXAMPLES = 10
"""How many offenders a message names."""


def listed(names: list[str]) -> str:
    """Join the first ten of `names`; say how many more there are."""
    more = f" and {len(names) - EXAMPLES} more" if len(names) > EXAMPLES else ""
    return ", ".join(names[:EXAMPLES]) + more


def refusal(whose: str, problems: Sequence[str], remedy: str = "") -> DataError:
    """Return the error of one problem, or of all with the first ten of them.

    Args:
        whose: Begins the sentence about several, such as ``The annotations have``.
        problems: A sentence each, without its full stop; at least one.
        remedy: What follows at the end.
    """
    if len(problems) == 1:
        return DataError(f"{problems[0]}.{remedy}")
    shown = [*problems[:EXAMPLES], *([f"and {len(problems) - EXAMPLES} more"] if len(problems) > EXAMPLES else ())]
    lines = "".join(f"\n- {problem}." for problem in shown)
    return DataError(f"{whose} {len(problems)} problems:{lines}{remedy}")


class DataReport:
    """Counts what was changed or left out, by reason, with up to ten different examples each.

    Attributes:
        counts: Reason to number of cases, in the order of their first appearance.
        examples: Reason to where they were found.
    """

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        self.counts: dict[str, int] = dict(counts or {})
        self.examples: dict[str, list[str]] = {}
        self._shortened: set[str] = set()

    def add(self, reason: str, where: str, count: int = 1) -> None:
        """Count `count` cases of `reason`, found at `where`, which is named once."""
        self.counts[reason] = self.counts.get(reason, 0) + count
        kept = self.examples.setdefault(reason, [])
        if where in kept:
            return
        if len(kept) < EXAMPLES:
            kept.append(where)
        else:
            self._shortened.add(reason)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def __str__(self) -> str:
        """Return one line per reason: ``2 boxes dropped, …: first, second``."""
        return "\n".join(self._line(reason, count) for reason, count in self.counts.items()) or "nothing left out"

    def _line(self, reason: str, count: int) -> str:
        kept = self.examples.get(reason, [])
        if not kept:
            return f"{count} {reason}"
        more = ", …" if reason in self._shortened else ""
        return f"{count} {reason}: {'; '.join(kept)}{more}"
