"""All facts of a data set stand in one value; what is trained, tested and judged follows from it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aat_explore import datasets
from aat_explore.config import EvaluationConfig, RunConfig
from aat_explore.dataset_specs import FASHION_MINI, SPECS, DatasetSpec, epsilon_grid
from aat_explore.presets import PRESETS, preset, preset_of
from aat_explore.readings import GRIDS, GROUPS

ROOT = Path(__file__).parents[2]
GREY = (0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)
CIFAR = tuple(k / 255 for k in (0, 1, 2, 4, 5.1, 6, 8, 12, 16))


# --- The grid of ε ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "epsilon", "grid"),
    [("fashion-mini", 0.3, GREY), ("mnist", 0.3, GREY), ("fashion-mnist", 0.3, GREY), ("cifar10", 0.02, CIFAR)],
)
def test_the_grids_of_the_embedded_and_published_sets_are_those_that_their_cached_tests_have(dataset, epsilon, grid):
    assert epsilon_grid(dataset, epsilon) == grid
    assert epsilon_grid(dataset, 0.03) == tuple(sorted({*grid, 0.03}))


def test_custom_images_are_tested_at_quarters_of_the_training_epsilon_up_to_twice_it():
    assert epsilon_grid("photos-1a2b3c4d", 0.04) == pytest.approx([0.01 * k for k in range(9)])
    assert epsilon_grid("photos-1a2b3c4d", 0.3) == pytest.approx([0, 0.075, 0.15, 0.225, 0.3, 0.375, 0.45])
    assert epsilon_grid("photos-1a2b3c4d", 0.0) == pytest.approx([k / 255 for k in range(0, 17, 2)])


@given(st.sampled_from(["photos-1a2b3c4d", "fashion-mini", *SPECS]), st.floats(0, 1))
def test_every_grid_ascends_from_zero_within_a_pixels_range_and_holds_the_training_epsilon(dataset, epsilon):
    grid = EvaluationConfig().grid(RunConfig(dataset=dataset, epsilon=epsilon))
    assert grid[0] == 0
    assert grid[-1] <= 1
    assert list(grid) == sorted(set(grid))
    assert min(abs(tested - epsilon) for tested in grid) <= 1e-6


# --- Presets and grids of runs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [FASHION_MINI, *SPECS.values()], ids=lambda spec: spec.name)
def test_a_data_set_has_the_presets_that_its_spec_names_trained_at_its_epsilon(spec):
    names = {name for name, config in PRESETS.items() if config.dataset == spec.name} - {"mini"}
    assert names == {f"{reading}-{spec.short_name or spec.name}" for reading in spec.readings}
    assert preset(preset_of(spec.name)).epsilon == spec.epsilon
    assert names <= set(GRIDS)


def test_the_papers_grids_hold_the_data_sets_that_it_speaks_of():
    assert [PRESETS[name].dataset for name in GROUPS["paper"]] == ["mnist", "fashion-mnist", "cifar10"]
    assert [PRESETS[name].dataset for name in GROUPS["letter"]] == ["mnist", "fashion-mnist", "cifar10"]


DOTS = {
    "name": "dots", "num_train": 6, "num_validation": 1, "num_test": 2, "image_shape": (1, 4, 4),
    "class_names": ("a", "b"), "sha256": {},
}  # fmt: skip


def test_a_published_data_set_without_a_training_epsilon_is_refused():
    with pytest.raises(ValueError, match="epsilon=None is no budget for the published data set dots"):
        DatasetSpec(**DOTS, torchvision_class="Dots")


def test_a_data_set_is_published_exactly_if_it_names_torchvisions_class_and_an_empty_name_is_refused():
    assert DatasetSpec(**DOTS, torchvision_class="Dots", epsilon=0.1).published
    assert not DatasetSpec(**DOTS).published
    with pytest.raises(ValueError, match="torchvision_class='' of the data set dots names no class; use None"):
        DatasetSpec(**DOTS, torchvision_class="", epsilon=0.1)


def test_the_name_of_custom_images_is_made_of_the_images_and_of_nothing_that_specs_have_gained_since(tmp_path):
    images = (np.arange(12 * 16 * 16) % 251).astype(np.uint8).reshape(12, 1, 16, 16)
    given = {"train_images": images, "train_labels": np.arange(12) % 2}
    assert datasets.add(given, name="ramps", cache_dir=tmp_path) == "ramps-af668e3b"


# --- A data set that did not exist before ----------------------------------------------------------------------------

# Before anything else is imported, as an entry of SPECS would be.
ENTRY = """
import sys, json, pathlib
import numpy as np
from aat_explore.dataset_specs import COLOUR, SPECS, DatasetSpec

rng, cache = np.random.default_rng(0), pathlib.Path(sys.argv[1])
def part(count, channels):
    labels = (np.arange(count) % 3).astype(np.uint8)
    images = rng.integers(0, 100, (count, channels, 16, 16), dtype=np.uint8)
    for image, label in zip(images, labels):
        image[:, 5 * label : 5 * label + 4] = 255
    return images, labels
FACTS = dict(num_train=90, num_validation=30, num_test=30, class_names=("top", "middle", "bottom"), sha256={})
"""
IDX_FILES = """
SPECS["stripes"] = DatasetSpec(
    name="stripes", image_shape=(1, 16, 16), torchvision_class="Stripes", raw_folder="Stripes/raw", epsilon=0.1,
    epsilons=(0.0, 0.1, 0.2), points_lost=(-100.0, 100.0), **FACTS,
)
folder = cache / "data" / "Stripes" / "raw"
folder.mkdir(parents=True)
for name, count in (("train", 90), ("t10k", 30)):
    images, labels = part(count, 1)
    for what, array in (("images", images[:, 0]), ("labels", labels)):
        head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        (folder / f"{name}-{what}-idx{array.ndim}-ubyte").write_bytes(head + array.tobytes())
"""
ANOTHER_FORMAT = """
SPECS["stripes"] = DatasetSpec(
    name="stripes", image_shape=(3, 16, 16), torchvision_class="Stripes", raw_folder=".", file_format="stripes",
    downloads=({"split": "train"}, {"split": "test"}), epsilon=0.02, training={"augment": True},
    readings={"paper": {"epochs": 2}}, **FACTS,
)
import torchvision.datasets
from aat_explore.datasets import sources
def read(spec, folder):
    if not (folder / "train.npz").is_file():
        return None
    arrays = {}
    for name in ("train", "test"):
        with np.load(folder / f"{name}.npz") as file:
            for what in ("images", "labels"):
                arrays[f"{name}_{what}"] = file[what]
                sources._verify(spec, f"{name}_{what}", file[what])
    return arrays
sources.READERS["stripes"] = read
def Stripes(root, split, download):
    images, labels = part({"train": 90, "test": 30}[split], 3)
    np.savez(pathlib.Path(root) / f"{split}.npz", images=images, labels=labels)
torchvision.datasets.Stripes = Stripes
"""
USE = """
from aat_explore.cli import main
from aat_explore.readings import names
from aat_explore.store import Store
from aat_explore.views import frames
from aat_explore.views.frames import claims

where = ["--cache-dir", str(cache)]
for n in ("0", "20", "all"):
    assert main(["train", "--dataset", "stripes", "--epochs", "2", "--num-perturbed", n, *where]) == 0
runs = Store(cache).list().runs
for run in runs:
    assert main(["evaluate", run.id, "--steps", "2", *where]) == 0
runs = Store(cache).list().runs
frame = frames.figures.evaluated(runs)
table = claims.claims(frame, *frames.figures.usual_choices(frame))
print(json.dumps({
    "names": names(),
    "configs": [json.loads(run.config.model_dump_json()) for run in runs],
    "grids": [run.evaluations()[0].epsilons for run in runs],
    "claims": sorted(set(table["claim"].tolist())),
    "verdicts": dict(claims.summary(table)[["claim", "verdict"]].to_numpy().tolist()),
}))
"""


def used(entry, tmp_path):
    """What becomes of a data set that is trained on, tested and judged in a process in which it is known."""
    done = subprocess.run(
        [sys.executable, "-c", ENTRY + entry + USE, str(tmp_path / "cache")],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if not key.startswith("AAT_")} | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_published_data_set_in_idx_files_takes_one_entry_to_be_trained_tested_and_judged(tmp_path):
    made = used(IDX_FILES, tmp_path)
    assert {"letter-stripes", "paper-stripes"} <= set(made["names"])
    assert {config["epsilon"] for config in made["configs"]} == {0.1}
    assert made["grids"] == [[0.0, 0.1, 0.2]] * 3
    assert made["claims"] == [1, 2, 3, 4, 5]
    assert made["verdicts"]["2"] == "holds"


def test_a_published_data_set_in_another_format_takes_a_reader_too_and_is_not_held_to_what_the_paper_never_said(
    tmp_path,
):
    made = used(ANOTHER_FORMAT, tmp_path)
    assert {name for name in made["names"] if "stripes" in name} == {"paper-stripes"}
    assert {(config["epsilon"], config["augment"]) for config in made["configs"]} == {(0.02, True)}
    assert {config["drawn_samples"] for config in made["configs"] if config["num_perturbed"] == 20} == {"half"}
    for grid in made["grids"]:
        assert grid == pytest.approx([0.005 * k for k in range(9)])
    assert made["claims"] == [1, 3, 4, 5]
