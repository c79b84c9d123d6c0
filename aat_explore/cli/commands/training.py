"""`aat train`: a config becomes a run of the cache."""

import dataclasses
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from aat_explore.cli.console import Console
from aat_explore.cli.flags import Command, PlaceFlags, Where, flags_of, one_of, optional
from aat_explore.config import AttackConfig, EvaluationConfig, RunConfig, checked_config
from aat_explore.errors import AATError
from aat_explore.places import Place
from aat_explore.presets import PRESETS, preset_of

RunFlags: Any = flags_of(RunConfig)


@dataclasses.dataclass
class Train(Command):
    """Train one run into the cache and evaluate it; resume it if interrupted, and do nothing if it is complete."""

    flags: Annotated[RunFlags, tyro.conf.arg(name="")]
    preset: Annotated[
        Literal[*PRESETS] | None,  # type: ignore[valid-type]
        one_of(tuple(PRESETS)),
        optional(None, "Defaults of all other flags; None = the preset of --dataset."),
    ] = None
    resize: Annotated[int | None, optional("INT", "Crop and resize a --dataset folder's images to this side.")] = None
    skip_unreadable: Annotated[
        bool,
        tyro.conf.FlagCreatePairsOff,
        tyro.conf.arg(help="Leave out the damaged images of a --dataset folder, and list them beside the data set."),
    ] = False
    place: Where = dataclasses.field(default_factory=PlaceFlags)
    evaluate: Annotated[bool, tyro.conf.arg(help="Attack the test set with PGD-40 over a grid of ε at the end.")] = True
    keep_every: Annotated[int, tyro.conf.arg(help="Keep the weights of every k-th epoch, besides best and last.")] = 10
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help="Print only the run id.")] = False

    @classmethod
    def implied_by(cls, words: Sequence[str]) -> "Train":
        """The preset that the words name, or that suits the data set they name."""
        config = PRESETS[_preset_asked_for(words)]
        attack = flags_of(AttackConfig)(**dict(config.attack))
        return cls(RunFlags(**dict(config) | {"attack": attack}))

    def run(self) -> int:
        """Train one run and print its progress or only its id; a folder of images is added to the cache first."""
        config = checked_config(dataclasses.asdict(self.flags))
        if _names_folder(config.dataset, self.place.cache_dir):
            config = config.model_copy(update={"dataset": self._added(config.dataset)})
        elif self.resize is not None or self.skip_unreadable:
            flag = "skip_unreadable" if self.resize is None else f"resize={self.resize}"
            raise AATError(f"{flag} has no meaning for dataset={config.dataset}; give it with a folder of images")
        train(config, self.place, evaluate=self.evaluate, quiet=self.quiet, keep_every=self.keep_every)
        if self.quiet:
            print(config.run_id)
        return 0

    def _added(self, folder: str) -> str:
        """Add a folder's images to the cache, print how they were understood, and return their name."""
        from aat_explore import datasets

        say = partial(Console(quiet=self.quiet).print, highlight=False, markup=False, soft_wrap=True)
        return datasets.add(
            folder, resize=self.resize, skip_unreadable=self.skip_unreadable, cache_dir=self.place.cache_dir, say=say
        )


def train(config: RunConfig, place: Place, *, evaluate: bool, quiet: bool, **options: Any) -> None:
    """Train a run and print its progress; `options` are those of `experiment.train`."""
    from aat_explore.cli.output import print_evaluation
    from aat_explore.cli.progress import Display
    from aat_explore.experiments import run as experiment

    console = Console(quiet=quiet)
    with Display(console) as display:
        run = experiment.train(
            config,
            **place.arguments(),
            **options,
            evaluate_with=EvaluationConfig() if evaluate else None,
            listener=display,
        )
    for evaluation in run.evaluations()[-1:]:
        print_evaluation(console, evaluation)
    console.print(f"in {run.path}", highlight=False, markup=False, soft_wrap=True)


def _preset_asked_for(words: Sequence[str]) -> str:
    """Find --preset among the words, or else the preset of --dataset; tyro reports what is wrong with them."""
    values = {}
    for name in ("preset", "dataset"):
        for position, word in enumerate(words):
            if match := re.fullmatch(rf"--{name}(?:=(.*))?", word):
                values[name] = match[1] or "".join(words[position + 1 : position + 2])
    chosen = values.get("preset")
    return chosen if chosen in PRESETS else preset_of(values.get("dataset", ""))


def _names_folder(dataset: str, cache_dir: Path) -> bool:
    """Whether a data set is given as a path: one with a separator, or a folder that is no data set's name."""
    from aat_explore import datasets

    known = dataset in datasets.names(cache_dir)
    return any(mark in dataset for mark in (os.sep, "~")) or (Path(dataset).is_dir() and not known)
