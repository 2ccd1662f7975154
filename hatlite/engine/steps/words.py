"""``key value`` and ``key=value`` behind the flags of a command line, as texts and then as values."""

from collections.abc import Iterator, Sequence
from typing import Any

from hatlite.errors import ConfigError
from hatlite.overrides import parse_value

__all__ = ["read_value", "read_words", "spelt"]

BRACKETS = {"[": "]", "(": ")"}
EXPECTED = {
    "number": "a number",
    "whole number": "a whole number",
    "count": "a whole number from 1 up",
    "count from 0": "a whole number from 0 up",
    "numbers": "numbers in brackets, such as [5,0.005]",
    "whole numbers": "whole numbers in brackets, such as [16,20]",
    "names": "names in brackets, such as [WBC,RBC]",
    "yes or no": "true or false",
    "text": "a text",
}
"""What a key takes → how a message says it."""

LEAST = {"count": 1, "count from 0": 0}
ITEMS = {"numbers": "number", "whole numbers": "whole number", "names": "text"}


def read_words(words: Sequence[str]) -> dict[str, str]:
    """Return key → value of `words`, both texts; of a key that stands twice the last value.

    ``-`` in a key is ``_``, and upper case lower case: ``DS-NAME`` is ``ds_name``. A value that a shell has cut up at
    its blanks, such as ``[a, b]``, is put together again.

    Raises:
        ConfigError: A key has no value, or a word is neither.
    """
    found: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        key, equals, value = word.partition("=")
        _check(key, word)
        if not equals:
            value = next(rest, "")
        if not value:
            raise ConfigError(f"{key} has no value; write {key} VALUE or {key}=VALUE behind the flags.")
        found[key.replace("-", "_").lower()] = _whole(value, rest)
    return found


def _check(key: str, word: str) -> None:
    if key[:1] in BRACKETS:
        raise ConfigError(
            f"{word} only stands for what may be given there; write a key and a value, such as learning-rate 1e-3, or"
            " leave it out."
        )
    if not key.replace("-", "_").isidentifier():
        raise ConfigError(
            f"{word!r} is no key; behind the flags stand keys and their values, such as learning-rate 1e-3, and values"
            " of the config itself behind --opts."
        )


def _whole(value: str, rest: Iterator[str]) -> str:
    """Return `value` with the words of `rest` that belong to it, if it opens a bracket that it does not close."""
    words = [value]
    while value[:1] in BRACKETS and not words[-1].endswith(BRACKETS[value[0]]):
        more = next(rest, None)
        if more is None:
            raise ConfigError(f"{' '.join(words)} has no {BRACKETS[value[0]]} at its end.")
        words.append(more)
    return " ".join(words)


def read_value(key: str, text: str, takes: str) -> Any:
    """Return what `text` says.

    Args:
        key: For the message.
        text: As it was typed.
        takes: What it has to be, a key of ``EXPECTED``.

    Raises:
        ConfigError: It is something else.
    """
    if takes in ITEMS:
        inner = text.strip()
        if inner[:1] in BRACKETS:
            inner = inner[1:-1]
        parts = [part.strip().strip("'\"") for part in inner.split(",") if part.strip()]
        if parts and all(_fits(part, ITEMS[takes]) for part in parts):
            return [_converted(part, ITEMS[takes]) for part in parts]
    elif _fits(text, takes):
        return _converted(text, takes)
    raise ConfigError(f"{spelt(key)} is {text!r}; expected {EXPECTED[takes]}.")


def _fits(text: str, takes: str) -> bool:
    value = text if text[:1] in BRACKETS else parse_value(text)
    if takes in LEAST:
        return isinstance(value, int) and not isinstance(value, bool) and value >= LEAST[takes]
    kinds = {"number": (int, float), "whole number": int, "yes or no": (bool, int), "text": object}[takes]
    if takes == "yes or no":
        return value in (0, 1)
    return isinstance(value, kinds) and (takes == "text" or not isinstance(value, bool))


def _converted(text: str, takes: str) -> Any:
    if takes == "text":
        return text
    value = parse_value(text)
    return float(value) if takes == "number" else bool(value) if takes == "yes or no" else value


def spelt(key: str) -> str:
    """Return `key` as command lines spell it: ``learning-rate``."""
    return key.replace("_", "-")
