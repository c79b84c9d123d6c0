"""`aat demo`: four small runs that show the effect, and the dashboard beside them."""

import dataclasses
import os
import sys
import webbrowser
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from aat_explore.budgets import epsilon_text
from aat_explore.cli.console import Console
from aat_explore.cli.flags import Command, PlaceFlags, Where
from aat_explore.cli.server import Server, address, free_port, serving
from aat_explore.config import EvaluationConfig, RunConfig
from aat_explore.presets import preset
from aat_explore.store.writer import make_folder

if TYPE_CHECKING:
    from aat_explore.store import Run

SETTINGS: dict[str, Any] = {"epsilon": 0.1, "epochs": 8, "num_recorded": 1000, "val_attack_images": 500}
SHOWN = 1000  # the n whose picks are shown, trained first: they are what there is to see after a few seconds
NUM_PERTURBED = (SHOWN, 0, 100, "all")


@dataclasses.dataclass
class Demo(Command):
    """Train n = 0, 100, 1000 and all on the embedded data set, and serve the dashboard beside them."""

    place: Where = dataclasses.field(default_factory=PlaceFlags)
    app: Annotated[bool, tyro.conf.arg(help="Serve the dashboard, until Ctrl-C.")] = True
    port: Annotated[int, tyro.conf.arg(help="The dashboard's port; if it is taken, the next free one.")] = 8501

    def run(self) -> int:
        """Train the demo's runs, serving them meanwhile and afterwards."""
        make_folder(self.place.cache_dir / "runs")  # before anything is said or served
        console = Console()
        if not self.app:
            self._train(console, None)
            return 0
        with serving(self.place.cache_dir, free_port(self.port)) as server:
            self._train(console, server)
            _say(console, f"The dashboard goes on at {address(server.port, _picks())}; Ctrl-C stops it.")
            try:
                return server.process.wait()
            except KeyboardInterrupt:
                return 0

    def _train(self, console: Console, server: Server | None) -> None:
        configs = demo_configs()
        first = configs[0]
        samples = [f"n = {config.num_perturbed}" for config in configs]
        _say(
            console,
            f"training four networks on {first.dataset}, {', '.join(samples)}; FGSM at "
            f"ε = {epsilon_text(first.epsilon)}, {first.epochs} epochs each"
            + ("; the dashboard's address follows after the first epoch" if server else ""),
        )
        from aat_explore.cli.progress import SeriesDisplay
        from aat_explore.experiments import run as experiment

        def announce() -> None:
            if server is not None:
                _announce(console, server)

        runs = []
        with SeriesDisplay(console, configs, announce) as display:
            for config in configs:
                run = experiment.train(
                    config, **self.place.arguments(), evaluate_with=EvaluationConfig(), listener=display
                )
                runs.append(run)
        _sum_up(console, runs)


def demo_configs() -> list[RunConfig]:
    """The demo's runs, in the order in which they are trained."""
    return [preset("mini", num_perturbed=n, **SETTINGS) for n in NUM_PERTURBED]


def _picks() -> str:
    shown = next(config for config in demo_configs() if config.num_perturbed == SHOWN)
    return f"picks?run={shown.run_id}"


def _announce(console: Console, server: Server) -> None:
    """Print the address of the picks once it has something to show, and open it in a browser if there is a screen."""
    if not server.up():
        code = server.process.poll()
        ended = "does not answer yet" if code is None else f"has ended with exit code {code}"
        _say(console, f"the dashboard {ended}; training goes on, and `aat app` serves it again")
        return
    url = address(server.port, _picks())
    _say(console, f"dashboard on {url} (Ctrl-C stops it and the training)")
    if console.is_terminal and _has_screen():
        webbrowser.open(url)


def _has_screen() -> bool:
    """Whether a browser can open a window here, and Streamlit's own switch does not forbid it."""
    if os.environ.get("STREAMLIT_SERVER_HEADLESS", "false").lower() in ("true", "1"):
        return False
    return sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _sum_up(console: Console, runs: "Sequence[Run]") -> None:
    """Print the four runs as a table, and in a sentence what perturbing buys and costs."""
    from aat_explore import datasets
    from aat_explore.cli.output import cell, print_table
    from aat_explore.views import effect

    rows = effect.rows(runs)
    columns = ("n", "clean accuracy", "robust accuracy", "seconds per epoch")
    print_table(columns, [[row[name] for name in columns] for row in rows], cell, left=())
    _say(console, f"Robust accuracy: {rows[0]['tested with']}, ε = {epsilon_text(runs[0].config.epsilon)}.")
    _say(console, effect.sentence(rows, datasets.num_train(runs[0].config.dataset), shown=SHOWN))


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
