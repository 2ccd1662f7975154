"""Every error that a user of hatlite can cause.

::

    HatliteError
    ├── ConfigError (ValueError)            a config cannot be used; `problems` lists everything found
    │   ├── UnknownTypeError (LookupError)  a `type` that nothing registered
    │   └── BuildError (TypeError)          a constructor refused its keys or values
    ├── DataError (ValueError)              an image, annotation or packed data set is unusable
    │   └── DataNotFoundError (FileNotFoundError)
    ├── OutputError (OSError)               a file or folder cannot be written
    ├── CheckpointError (RuntimeError)      a checkpoint is missing, damaged or belongs to another run
    ├── CaptureError (NotImplementedError)  `prepare` met an operation that has no integer form
    ├── QuantizationError (ValueError)      scales, ranges or qconfig rules do not fit
    ├── MarchError (ValueError)             a march is unknown or cannot hold the program
    ├── ProgramError (ValueError)           an integer program or `.hbir` file is invalid
    ├── MissingExtraError (ImportError)     a package of an extra such as hatlite[onnx] is not installed
    ├── TrainingError (ArithmeticError)     a loss is not finite
    ├── StageError (RuntimeError)           a stage cannot start
    └── LaunchError (RuntimeError)          several processes cannot start or have lost one another

Every class also derives from the built-in that a caller would expect. Messages say what happened, where, what was
expected and how to mend it; the parts that a program may want (`path`, `name`, `candidates`, …) stay as attributes.
Tools print the message without a traceback and exit with code 2 (:mod:`hatlite.command`).
"""

from collections.abc import Sequence


class HatliteError(Exception):
    """Base of every error that hatlite raises on purpose."""

    def __str__(self) -> str:
        """Return the message as written (`KeyError` and its kin would quote it)."""
        return str(self.args[0]) if self.args else ""

    def locate(self, where: str) -> None:
        """Put `where`, such as ``config['model']``, in front of a message that names no place of the config yet."""
        if "config[" in where and "config[" not in str(self):
            self.args = (f"{where}: {self}", *self.args[1:])


class ConfigError(HatliteError, ValueError):
    """A config cannot be used.

    Args:
        message: The sentence to print.
        path: Place in the config, such as ``model['head']['type']``.
        problems: When several were found together, all of them.
    """

    def __init__(self, message: str, *, path: str = "", problems: Sequence[HatliteError] = ()) -> None:
        super().__init__(message)
        self.path = path
        self.problems = tuple(problems)

    @classmethod
    def together(cls, problems: Sequence[HatliteError], where: str) -> HatliteError:
        """Join `problems` into one error; a single problem is returned as it is."""
        if len(problems) == 1:
            return problems[0]
        lines = [f"{len(problems)} problems in {where}:"]
        for problem in problems:
            lines.append("- " + str(problem).replace("\n", "\n  "))
        return cls("\n".join(lines), path=where, problems=problems)


class UnknownTypeError(ConfigError, LookupError):
    """A name that nothing registered; `candidates` holds the nearest names first."""

    def __init__(self, message: str, *, path: str = "", name: str = "", candidates: Sequence[str] = ()) -> None:
        super().__init__(message, path=path)
        self.name = name
        self.candidates = tuple(candidates)


class BuildError(ConfigError, TypeError):
    """A constructor refused its keys or values; `name` is the class, `candidates` its keys."""

    def __init__(self, message: str, *, path: str = "", name: str = "", candidates: Sequence[str] = ()) -> None:
        super().__init__(message, path=path)
        self.name = name
        self.candidates = tuple(candidates)


class DataError(HatliteError, ValueError):
    """An image, an annotation or a packed data set is unusable."""


class DataNotFoundError(DataError, FileNotFoundError):
    """A data set, image or annotation file is not where the config says."""


class OutputError(HatliteError, OSError):
    """A file or folder cannot be written."""


class CheckpointError(HatliteError, RuntimeError):
    """A checkpoint is missing, damaged or belongs to another run."""


class CaptureError(HatliteError, NotImplementedError):
    """`prepare` met an operation that has no integer form.

    Args:
        message: The sentence to print.
        name: Module path.
        path: Source line.
        operator: What was refused, such as ``GELU``.
        reason: Why, without the place.
        remedy: What to write instead.
    """

    def __init__(
        self,
        message: str,
        *,
        name: str = "",
        path: str = "",
        operator: str = "",
        reason: str = "",
        remedy: str = "",
    ) -> None:
        super().__init__(message)
        self.name = name
        self.path = path
        self.operator = operator
        self.reason = reason
        self.remedy = remedy


class QuantizationError(HatliteError, ValueError):
    """Scales, ranges or qconfig rules do not fit the graph."""


class MarchError(HatliteError, ValueError):
    """A march is unknown or cannot hold the program."""


class ProgramError(HatliteError, ValueError):
    """An integer program or a `.hbir` file is invalid."""


class MissingExtraError(HatliteError, ImportError):
    """A package of an extra such as ``hatlite[onnx]`` is not installed."""


class TrainingError(HatliteError, ArithmeticError):
    """Training cannot go on: a loss is not finite."""


class StageError(HatliteError, RuntimeError):
    """A stage cannot start, for example because its predecessor's checkpoint is missing."""


class LaunchError(HatliteError, RuntimeError):
    """Several processes cannot start as they were asked to, or have lost one another."""
