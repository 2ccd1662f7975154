"""Which stage of a run is which step of the toolkit."""

from hatlite.engine.run import Run, Stage
from hatlite.errors import StageError

__all__ = ["CALIBRATION", "KINDS", "note_on_fusing", "stage_of_step"]

CALIBRATION = "cal"
KINDS: dict[int | str, str] = {
    1: "float",
    2: "qat_weights",
    CALIBRATION: "calibration_weights",
    3: "qat_activations",
    4: "qat",
}
"""Step → kind of stage."""


def stage_of_step(run: Run, step: int | str) -> Stage:
    """Return the stage of `run` that is `step`, 1…4 or ``"cal"``.

    Raises:
        StageError: There is no such step, or the run has no stage of its kind.
    """
    if step not in KINDS:
        raise StageError(f"There is no step {step}; the steps are 1, 2, 2 with --cal, 3 and 4.")
    found = [stage for stage in run.stages if stage.kind == KINDS[step]]
    if not found:
        flags = "--step 2 --cal" if step == CALIBRATION else f"--step {step}"
        has = ", ".join(f"{stage.name} ({stage.kind})" for stage in run.stages)
        raise StageError(
            f"{flags} is a stage of kind {KINDS[step]!r}, and {run.source} lists none; it has {has}. Its stages run by"
            " tools/train.py --stage."
        )
    return found[-1]


def note_on_fusing(step: int) -> str | None:
    """Return what to say instead of training where the toolkit would fold the batch norms of step 1 and end.

    Returns:
        None for step 2, which folds them as it starts.

    Raises:
        StageError: `step` comes later, when there are none left.
    """
    if step > 2:
        raise StageError(
            f"--fuse-bn is of steps 1 and 2, and --step is {step}; its network has no batch norms; leave it out."
        )
    if step == 2:
        return None
    return (
        "Nothing is written: step 2 folds the batch norms of step 1 into weights and biases as it starts, and"
        " checkpoint/step1/fused.pth stands for the checkpoint of step 1."
    )
