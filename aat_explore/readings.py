"""The paper's grid under each reading of what it leaves open: which runs stand in its Fig. 1–5.

`letter-…` does what Algorithm 1 says and nothing else: x′, made once an epoch, replaces x. `paper-…` is the honest
reading that comes nearest to the paper's statements on clean accuracy: x′ made in each batch, its loss averaged with
that of x; `small-cifar10` is that with StdCNN for ResNet18, for a machine without a GPU. `frontier-…` is neither: it
asks for how little perturbing a network becomes robust, with an attack that is known to make networks robust, PGD-7 on
the fly at a smaller ε. `fast-…` is the same with random-start FGSM (Wong, Rice, Kolter 2020).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeVar

from aat_explore.config import AttackConfig, RunConfig
from aat_explore.dataset_specs import SPECS
from aat_explore.errors import AATError
from aat_explore.presets import PRESETS, preset

N = int | Literal["all"]

BOOKKEEPING = ("num_recorded", "val_attack_steps", "val_attack_images")  # what of a config changes no result

PAPERS_N: tuple[N, ...] = (0, 100, 1000, 10000, "all")
FRONTIER_N: tuple[N, ...] = (0, 1000, 3000, 10000, 30000, "all")


@dataclass(frozen=True)
class Grid:
    """Runs of one preset: these n, each by these norm powers; and whether PGD on all samples belongs to it (Fig. 5)."""

    preset: str
    n: tuple[N, ...] = PAPERS_N
    powers: tuple[float, ...] = (1.0, 2.0)
    pgd_on_all: bool = True


_FRONTIER = {"n": FRONTIER_N, "powers": (1.0, 2.0, 0.0), "pgd_on_all": False}
_BY_READING: dict[str, dict[str, Any]] = {"frontier": _FRONTIER, "fast": _FRONTIER}
_OF_FEWER: dict[str, dict[str, Any]] = {  # presets of a data set with fewer images than the paper's
    "mini": {"n": (0, 100, 1000, "all")},
    "frontier-mini": {"n": (0, 300, 1000, 3000, "all")},
}
GRIDS = {name: Grid(name, **_BY_READING.get(name.split("-")[0], {}) | _OF_FEWER.get(name, {})) for name in PRESETS}
GROUPS = {
    reading: tuple(
        name
        for name, config in PRESETS.items()
        if name.startswith(f"{reading}-") and config.dataset in SPECS and SPECS[config.dataset].points_lost is not None
    )
    for reading in ("letter", "paper")
}


def names() -> tuple[str, ...]:
    """What a grid can be asked for by: single grids, and groups of them."""
    return (*GROUPS, *GRIDS)


def configs(
    name: str,
    *,
    seeds: int = 3,
    n: Sequence[N] | None = None,
    norm_powers: Sequence[float] | None = None,
    **settings: int | None,
) -> list[RunConfig]:
    """Return every run of a grid or group, once: seed by seed, so that a grid cut off has whole figures of fewer seeds.

    `n`, `norm_powers` and `settings`, fields of RunConfig such as `epochs`, replace the grid's own; None leaves it. A
    baseline, n = 0 or all, is drawn from no p, so one run stands in both panels. Raises AATError for an unknown name,
    seeds < 1, or a value that RunConfig refuses.
    """
    _check_name(name)
    if seeds < 1:
        raise AATError(f"seeds={seeds} is less than 1; use e.g. 3")
    given = {field: value for field, value in settings.items() if value is not None}
    found = [
        config
        for seed in range(seeds)
        for one in (_replaced(GRIDS[member], n, norm_powers) for member in GROUPS.get(name, (name,)))
        for config in _of(one, preset(one.preset, seed=seed, **given))
    ]
    return list({config.run_id: config for config in found}.values())


def _check_name(name: str) -> None:
    if name not in names():
        raise AATError(f"grid={name} is unknown; choose one of {', '.join(names())}")


def _replaced(grid: Grid, n: Sequence[N] | None, norm_powers: Sequence[float] | None) -> Grid:
    return replace(
        grid,
        n=grid.n if n is None else tuple(n),
        powers=grid.powers if norm_powers is None else tuple(norm_powers),
    )


def _of(grid: Grid, base: RunConfig) -> list[RunConfig]:
    settings = {**dict(base), "attack": base.attack.model_dump()}
    found = [
        preset(grid.preset, **{**settings, "num_perturbed": count, "norm_power": power}).canonical()
        for count in grid.n
        for power in grid.powers
    ]
    return found + ([pgd_on_all(base)] if grid.pgd_on_all and "all" in grid.n else [])


def pgd_on_all(base: RunConfig) -> RunConfig:
    """Fig. 5's run beside a reading's others: PGD on all samples, x′ in place of x as in Madry et al. 2018."""
    changes = {"num_perturbed": "all", "attack": AttackConfig(kind="pgd"), "drawn_samples": "replace"}
    return base.model_copy(update=changes).canonical()


class Configured(Protocol):
    """Anything made by a config, such as a run."""

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
    """Whether a run is one of a grid's, whatever its epochs, seed, n, norm power and bookkeeping."""
    base = preset(GRIDS[grid].preset)
    if config.dataset != base.dataset:
        return False
    free = ("epochs", "seed", "num_perturbed", "norm_power", *BOOKKEEPING)
    like = base.model_copy(update={name: getattr(config, name) for name in free})
    expected = [
        like.canonical(),
        *([pgd_on_all(like)] if GRIDS[grid].pgd_on_all and config.num_perturbed == "all" else []),
    ]
    return config.canonical().digest() in {one.digest() for one in expected}
