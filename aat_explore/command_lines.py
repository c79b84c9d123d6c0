"""The `aat` commands that repeat what was done, as typed into a shell; built nowhere else."""

import shlex
from pathlib import Path
from typing import Any

from aat_explore.config import AttackConfig, RunConfig
from aat_explore.presets import PRESETS, flat, preset_of


def aat(words: str, cache_dir: Path) -> str:
    """Return the whole command line on a cache, e.g. `aat demo --cache-dir X`; the default, ./cache, is omitted."""
    return f"aat {words}" if cache_dir == Path("cache") else f"aat {words} --cache-dir {shlex.quote(str(cache_dir))}"


def train(config: RunConfig, *, device: str | None = None, threads: int | None = None, evaluate: bool = True) -> str:
    """Return the words after `aat` that train a run: its data set's preset, and each field that differs from it."""
    words = ["train", f"--preset={preset_of(config.dataset)}", *_differing(config)]
    if device is not None:
        words.append(f"--device={device}")
    if threads is not None:
        words.append(f"--threads={threads}")
    return shlex.join(words if evaluate else [*words, "--no-evaluate"])


def train_like(config: RunConfig, **changes: Any) -> str:
    """Return the words after `aat` that train a run like `config` but for these `changes`, without idle settings."""
    return train(config.model_copy(update=changes).canonical())


def _differing(config: RunConfig) -> list[str]:
    """Flags of `aat train` for each field that differs from the preset of the data set."""
    preset = flat(PRESETS[preset_of(config.dataset)])
    words: list[str] = []
    for field, value in flat(config).items():
        if value == preset[field]:
            continue
        flag = field.replace("_", "-")
        values = _flat(value)
        if _is_switch(field):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif len(values) == 1:
            words.append(f"--{flag}={values[0]}")
        else:
            words += [f"--{flag}", *values]
    return words


def _flat(value: Any) -> list[str]:
    """Return the words that a flag takes for a value, nested pairs flattened."""
    return [word for part in value for word in _flat(part)] if isinstance(value, tuple) else [str(value)]


def _is_switch(field: str) -> bool:
    """Whether a field's flag takes no value; one that may be None takes one."""
    model = AttackConfig if field.startswith("attack.") else RunConfig
    return model.model_fields[field.removeprefix("attack.")].annotation is bool
