"""`aat evaluate` and `aat check`: is a run robust, and is that real?"""

import dataclasses
from typing import Annotated, Any

import tyro

from aat_explore.budgets import epsilon_text
from aat_explore.cli.console import Console
from aat_explore.cli.flags import Command, Json, PlaceFlags, RunId, Where, flags_of, optional
from aat_explore.config import EpochAsked, EvaluationConfig, checked
from aat_explore.errors import AATError

EvaluationFlags: Any = flags_of(EvaluationConfig)


@dataclasses.dataclass
class Evaluate(Command):
    """Attack a run's network over a grid of ε and store the result with the run."""

    run_id: RunId
    flags: Annotated[EvaluationFlags, tyro.conf.arg(name="")] = dataclasses.field(default_factory=EvaluationFlags)
    epoch: Annotated[EpochAsked, optional("{INT,best}", "Epoch whose weights are attacked; None = the last.")] = None
    every: Annotated[int | None, optional("INT", "Attack the kept weights of every k-th epoch, and the last.")] = None
    place: Where = dataclasses.field(default_factory=PlaceFlags)
    json: Json = False

    def run(self) -> int:
        """Evaluate a run, or its checkpoints one after another, and print each curve."""
        from aat_explore.cli.output import evaluation_fields, json_text, print_evaluation
        from aat_explore.store import Store

        config = checked(EvaluationConfig, dataclasses.asdict(self.flags))
        if self.epoch is not None and self.every is not None:
            raise AATError(f"epoch={self.epoch} names one checkpoint and every={self.every} many; drop one of them")
        run_id = Store(self.place.cache_dir).named(self.run_id).id  # reports a wrong name before torch is loaded
        from aat_explore.cli.progress import Display
        from aat_explore.experiments import run as experiment

        console = Console(stderr=self.json)
        with Display(console) as display:
            options: dict[str, Any] = {**self.place.arguments(), "listener": display}
            if self.every is None:
                evaluations = [experiment.evaluate(run_id, config, epoch=self.epoch, **options)]
            else:
                evaluations = experiment.evaluate_every(run_id, config, self.every, **options)
        if self.json:
            records = [evaluation_fields(evaluation) for evaluation in evaluations]
            print(json_text(records[0] if self.every is None else records))
        else:
            for evaluation in evaluations:
                print_evaluation(console, evaluation)
        return 0


@dataclasses.dataclass
class Check(Command):
    """Look for signs that a run's robustness is not real, and store the report; exit code 1 if a check fails."""

    run_id: RunId
    images: Annotated[int, tyro.conf.arg(help="First images of the test split, and as many to train.")] = 1000
    epsilon: Annotated[float | None, optional("FLOAT", "ε of the attacks; None = the training ε.")] = None
    epoch: Annotated[EpochAsked, optional("{INT,best}", "Epoch whose weights are checked; None = the last.")] = None
    seed: Annotated[int, tyro.conf.arg(help="Seed of the attacks' random numbers.")] = 0
    place: Where = dataclasses.field(default_factory=PlaceFlags)
    json: Json = False

    def run(self) -> int:
        """Check a run and print these and all recorded checks; 1 if anything fails."""
        from aat_explore.cli.output import cell, json_text, print_frame
        from aat_explore.store import Store
        from aat_explore.views import checks

        run_id = Store(self.place.cache_dir).named(self.run_id).id  # reports a wrong name before torch is loaded
        from aat_explore.cli.progress import Display
        from aat_explore.experiments import checking

        console = Console(stderr=self.json)
        with Display(console) as display:
            report = checking.check(
                run_id,
                images=self.images,
                epsilon=self.epsilon,
                epoch=self.epoch,
                seed=self.seed,
                **self.place.arguments(),
                listener=display,
            )
        recorded = checks.of_run(Store(self.place.cache_dir).open(run_id)) | checks.of_report(report)
        if self.json:
            print(json_text({where: [check.model_dump(mode="json") for check in of] for where, of in recorded.items()}))
        else:
            title = f"{run_id}, epoch {report.epoch}, ε = {epsilon_text(report.epsilon)}, {report.seconds:.0f} s"
            console.print(title, highlight=False, markup=False, soft_wrap=True)
            table = checks.table(recorded)
            print_frame(table, cell, left=list(table.columns))
            for name in table.loc[table["verdict"] != "pass", "check"].unique():
                console.print(f"{name}: see {checks.link(name)}", highlight=False, markup=False, soft_wrap=True)
        return int(checks.worst([check for of in recorded.values() for check in of]) == "fail")
