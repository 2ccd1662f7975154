"""The keys of GNetDet's toolkit: where each of them stands in a config here, or what does its work."""

from collections.abc import Mapping
from dataclasses import dataclass

from hatlite.engine.steps.words import EXPECTED, spelt
from hatlite.errors import ConfigError
from hatlite.registry import nearest

__all__ = ["KEYS", "SCHEDULE_KEYS", "Key", "key_table", "known_key"]

UPDATER = "{stage}_trainer.callbacks.LrUpdater"


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        paths: Places in a config; the first that the config has is changed. ``{stage}`` is the name of the stage; a
            name of a type in the place of an index is the first entry of a list that has the type.
        takes: What it has to be; a key of :data:`hatlite.engine.steps.words.EXPECTED`.
        note: How the value changes on its way, or whatever else is different here.
        instead: Without `paths`: who does its work; the end of a sentence.
    """

    paths: tuple[str, ...] = ()
    takes: str = "text"
    note: str = ""
    instead: str = ""

    @property
    def trains(self) -> bool:
        """Whether it changes how weights are trained, which calibration does not."""
        return self.paths[:1] != () and self.paths[0].startswith("{stage}")


def _schedule(takes: str, of: str, field: str) -> Key:
    return Key((UPDATER,), takes, f"{field}, of {of}")


SCHEDULE_KEYS: dict[str, Key] = {
    "lr_scheduler": Key((UPDATER,), note="StepLR, MultiStepLR, CosineAnnealingLR or CosineAnnealingWarmRestarts"),
    "step_size": _schedule("whole number", "StepLR", "lr_decay_every"),
    "gamma": _schedule("number", "StepLR and MultiStepLR", "lr_decay_factor"),
    "milestones": _schedule("whole numbers", "MultiStepLR", "lr_decay_id, counted from the end of the warm-up"),
    "t_max": _schedule("whole number", "CosineAnnealingLR", "period"),
    "t_0": _schedule("whole number", "CosineAnnealingWarmRestarts", "period"),
    "t_mult": _schedule("whole number", "CosineAnnealingWarmRestarts", "period_factor"),
    "eta_min": _schedule("number", "both cosines", "stop_lr"),
    "warmup_epochs": Key((UPDATER,), "whole number", "warmup_len; it rises with every step, from 0"),
}
"""Those that together describe one learning rate schedule."""

_CHIP = "of tools/convert_to_chip.py, which writes below the run's folder"
_SHOWN = "of tools/GNetDet.py, as are the thresholds of what it draws"
_DERIVED = "follows from the image size and the classes, and cannot be set"

KEYS: dict[str, Key] = {
    "learning_rate": Key(("{stage}_trainer.optimizer.lr",), "number"),
    "num_epochs": Key(("{stage}_trainer.num_epochs",), "count from 0"),
    "batch_size": Key(
        ("batch_size", "data_loader.batch_size"), "count", "of all processes together; each takes its share"
    ),
    "num_workers": Key(
        ("num_workers", "data_loader.num_workers"), "count from 0", "of a node; each process takes its share"
    ),
    **SCHEDULE_KEYS,
    "lr_momentum": Key(("{stage}_trainer.optimizer.momentum",), "number"),
    "weight_decay": Key(
        ("{stage}_trainer.optimizer.params.weight.weight_decay", "{stage}_trainer.optimizer.weight_decay"),
        "number",
        "twice it for SGD, which has half a sum of squares in its loss where the toolkit has a whole one",
    ),
    "checkpoint_path": Key(
        ("{stage}_trainer.model_convert_pipeline",),
        note="checkpoint/stepN/best.pth is the checkpoint that step N left in the run's folder, or a file of that name",
    ),
    "edit_gain": Key(
        ("{stage}_trainer.model_convert_pipeline",),
        "yes or no",
        "of step 4, which edits gains once without being asked",
    ),
    "image_size": Key(("image_size", "model.backbone.input_size"), "whole number", "448 or 224"),
    "image_format": Key(("image_format",), note="BGR, RGB or YUV"),
    "voc_classes": Key(("classes",), "names"),
    "ds_name": Key(("ds_name",), note="data/meta/<ds_name>_train.txt and _valid.txt"),
    "batch_norm": Key(("batch_norm", "model.backbone.batch_norm"), "yes or no", "--step 2 folds them into the weights"),
    "loss_weights": Key(("loss_weights", "model.loss.loss_weights"), "numbers", "of loc and noobj"),
    "loss_normalizer": Key(("loss_normaliser", "model.loss.normaliser"), "number"),
    "loss_normalizer_momentum": Key(("loss_normaliser_momentum", "model.loss.normaliser_momentum"), "number"),
    "log_freq": Key(("log_freq", "{stage}_trainer.callbacks.StatsMonitor.log_freq"), "whole number"),
    "conf_thresh": Key(("conf_thresh", "model.post_process.conf_thresh"), "number"),
    "prob_thresh": Key(("prob_thresh", "model.post_process.prob_thresh"), "number"),
    "nms_thresh": Key(("nms_thresh", "model.post_process.nms_thresh"), "number"),
    "step": Key(instead="is a flag here: --step N"),
    "cal": Key(instead="is a flag here: --step 2 --cal"),
    "chip": Key(instead="is march='gti5801' in the config, and there is one"),
    "grid_size": Key(instead="is 14 for both image sizes"),
    "best_save_path": Key(instead="is <stage>-checkpoint-best.pth.tar in the run's folder; --opts ckpt_dir=… moves it"),
    "last_save_path": Key(instead="is <stage>-checkpoint-last.pth.tar in the run's folder; --opts ckpt_dir=… moves it"),
    "cap_txt_path": Key(instead="is not needed for training: caps lie in the checkpoint"),
    "best_ckpt_path": Key(instead=f"is {_CHIP}"),
    "convert_model_path": Key(instead=f"is {_CHIP}"),
    "out_model_path": Key(instead=f"is {_CHIP}"),
    "dat_json_path": Key(instead=f"is {_CHIP}"),
    "dat_json_448_path": Key(instead=f"is {_CHIP}"),
    "model_json_path": Key(instead=f"is {_CHIP}"),
    "model_json_448_path": Key(instead=f"is {_CHIP}"),
    "dump_mode": Key(instead=f"is {_CHIP}"),
    "display": Key(instead=f"is {_SHOWN}"),
    "mp4_path": Key(instead=f"is {_SHOWN}"),
    "model_path": Key(instead=f"is {_SHOWN}"),
    "stride": Key(instead=_DERIVED),
    "grid_depth": Key(instead=_DERIVED),
    "chip_depth": Key(instead=_DERIVED),
    "scale": Key(instead="lies in the checkpoint and in the program"),
}
"""Key, ``_`` for ``-`` and in lower case → what becomes of it."""


def known_key(key: str) -> Key:
    """Return the entry of `key`.

    Raises:
        ConfigError: There is none, or its work is done elsewhere.
    """
    if key not in KEYS:
        hint = nearest(key, list(KEYS)).replace("_", "-")
        raise ConfigError(f"{spelt(key)} is no key of the toolkit; --keys prints them all.{hint}")
    entry = KEYS[key]
    if not entry.paths:
        raise ConfigError(f"{spelt(key)} is nothing that training can be given here: it {entry.instead}.")
    return entry


def key_table(keys: Mapping[str, Key] = KEYS) -> str:
    """Return a table of all keys: what each takes and where a config has it, {stage} being the name of the stage."""
    rows = [("key", "takes", "in the config")]
    for name, key in keys.items():
        place = " or ".join(path.replace("LrUpdater", "<updater>") for path in key.paths)
        note = f": {key.note}" if key.note else ""
        rows.append((spelt(name), EXPECTED[key.takes], f"{place}{note}") if place else (spelt(name), "–", key.instead))
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    return "\n".join(f"{row[0]:<{first}}  {row[1]:<{second}}  {row[2]}" for row in rows)
