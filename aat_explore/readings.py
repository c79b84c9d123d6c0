"""The paper's grid under each reading of what it leaves open: which runs make up its Fig. 1–5.

`letter-…` does what Algorithm 1 says and nothing else: x′, made once per epoch, replaces x. `paper-…` is the honest
reading closest to the paper's statements on clean accuracy: x′ is made in each batch, and its loss averaged with that
of x; `small-cifar10` is the same with StdCNN in place of ResNet18, for a machine without a GPU. `frontier-…` is
neither: it asks how few samples need perturbing for a network to become robust, with an attack known to make networks
robust, PGD-7 on the fly at a smaller ε. `fast-…` is the same with random-start FGSM (Wong, Rice, Kolter 2020).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeVar

from aat_explore.config import AttackConfig, RunConfig
from aat_explore.dataset_specs import SPECS
from aat_explore.errors import AATError
from aat_explore.presets import PRESETS, preset

N = int | Literal["all"]

BOOKKEEPING = ("num_recorded", "val_attack_steps", "val_attack_images")  # fields that change no result

PAPERS_N: tuple[N, ...] = (0, 100, 1000, 10000, "all")
FRONTIER_N: tuple[N, ...] = (0, 1000, 3000, 10000, 30000, "all")


@dataclass(frozen=True)
class Grid:
    """Runs of one preset: each n with each norm power, and whether PGD on all samples is included (Fig. 5)."""

    preset: str
    n: tuple[N, ...] = PAPERS_N
    powers: tuple[float, ...] = (1.0, 2.0)
    pgd_on_all: bool = True


_FRONTIER = {"n": FRONTIER_N, "powers": (1.0, 2.0, 0.0), "pgd_on_all": False}
_BY_READING: dict[str, dict[str, Any]] = {"frontier": _FRONTIER, "fast": _FRONTIER}
_SMALLER: dict[str, dict[str, Any]] = {  # for data sets smaller than the paper's
    "mini": {"n": (0, 100, 1000, "all")},
    "frontier-mini": {"n": (0, 300, 1000, 3000, "all")},
}
GRIDS = {name: Grid(name, **_BY_READING.get(name.split("-")[0], {}) | _SMALLER.get(name, {})) for name in PRESETS}
GROUPS = {
    reading: tuple(
        name
        for name, config in PRESETS.items()
        if name.startswith(f"{reading}-") and config.dataset in SPECS and SPECS[config.dataset].points_lost is not None
    )
    for reading in ("letter", "paper")
}


def names() -> tuple[str, ...]:
    """Names of the groups and the single grids."""
    return (*GROUPS, *GRIDS)


def configs(
    name: str,
    *,
    seeds: int = 3,
    n: Sequence[N] | None = None,
    norm_powers: Sequence[float] | None = None,
    **settings: int | None,
) -> list[RunConfig]:
    """Return every run of a grid or group, once, seed by seed: an interrupted grid has whole figures of fewer seeds.

    `n`, `norm_powers` and `settings`, fields of RunConfig such as `epochs`, replace the grid's; None keeps them. A
    baseline, n = 0 or all, draws nothing, so one run serves both panels. Raises AATError for an unknown name,
    seeds < 1, or a value that RunConfig refuses.
    """
    _check_name(name)
    if seeds < 1:
        raise AATError(f"seeds={seeds} is less than 1; use e.g. 3")
    overrides = {field: value for field, value in settings.items() if value is not None}
    grids = [_replaced(GRIDS[member], n, norm_powers) for member in GROUPS.get(name, (name,))]
    runs = [
        config
        for seed in range(seeds)
        for grid in grids
        for config in _configs_of(grid, preset(grid.preset, seed=seed, **overrides))
    ]
    return list({config.run_id: config for config in runs}.values())


def _check_name(name: str) -> None:
    if name not in names():
        raise AATError(f"grid={name} is unknown; choose one of {', '.join(names())}")


def _replaced(grid: Grid, n: Sequence[N] | None, norm_powers: Sequence[float] | None) -> Grid:
    return replace(
        grid,
        n=grid.n if n is None else tuple(n),
        powers=grid.powers if norm_powers is None else tuple(norm_powers),
    )


def _configs_of(grid: Grid, base: RunConfig) -> list[RunConfig]:
    settings = {**dict(base), "attack": base.attack.model_dump()}
    drawing = [
        preset(grid.preset, **{**settings, "num_perturbed": count, "norm_power": power}).canonical()
        for count in grid.n
        for power in grid.powers
    ]
    return drawing + ([pgd_on_all(base)] if grid.pgd_on_all and "all" in grid.n else [])


def pgd_on_all(base: RunConfig) -> RunConfig:
    """Fig. 5's extra run of a reading: PGD on all samples, x′ in place of x as in Madry et al. 2018."""
    changes = {"num_perturbed": "all", "attack": AttackConfig(kind="pgd"), "drawn_samples": "replace"}
    return base.model_copy(update=changes).canonical()


class Configured(Protocol):
    """Anything with a config, such as a run."""

    @property
    def config(self) -> RunConfig: ...  # noqa: D102


Member = TypeVar("Member", bound=Configured)


def members(name: str, runs: Sequence[Member]) -> list[Member]:
    """Return those runs that belong to a grid or group; AATError for an unknown name."""
    _check_name(name)
    return [run for run in runs if any(belongs(run.config, grid) for grid in GROUPS.get(name, (name,)))]


def dataset_of(grid: str) -> str:
    """The data set of a single grid."""
    return preset(GRIDS[grid].preset).dataset


def belongs(config: RunConfig, grid: str) -> bool:
    """Whether a run belongs to a grid, whatever its epochs, seed, n, norm power and bookkeeping."""
    base = preset(GRIDS[grid].preset)
    if config.dataset != base.dataset:
        return False
    free = ("epochs", "seed", "num_perturbed", "norm_power", *BOOKKEEPING)
    like = base.model_copy(update={name: getattr(config, name) for name in free})
    expected = [
        like.canonical(),
        *([pgd_on_all(like)] if GRIDS[grid].pgd_on_all and config.num_perturbed == "all" else []),
    ]
    return config.canonical().digest() in {member.digest() for member in expected}
