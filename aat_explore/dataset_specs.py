"""All facts about each data set in one value: its shape, its source, how runs on it are trained and tested.

To add a published data set, add its `DatasetSpec` to `SPECS`. `aat train`, presets (`letter-…`, `paper-…`), grids, the
Train page, the ε of tests and the verdicts on the paper's claims follow from it; add a row to the table in
`docs/data.md`. If its files are neither idx files nor CIFAR10's batches, also write a function that reads them and name
it in `datasets.sources.READERS`. SVHN, in .mat files, would be

    DatasetSpec(name="svhn", …, torchvision_class="SVHN", raw_folder=".", file_format="svhn",
                downloads=({"split": "train"}, {"split": "test"}), epsilon=0.02, training=COLOUR)

and a reader of a dozen lines. `sha256` may stay empty: arrays are then checked against the digests recorded when they
were converted.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

STEMS = ("train_images", "train_labels", "test_images", "test_labels")
Reading = Literal["letter", "paper", "small", "frontier", "fast"]  # see `presets`
LETTER_AND_PAPER: Mapping[Reading, Mapping[str, Any]] = {"letter": {}, "paper": {}}
USUAL_EPSILON = 8 / 255  # most papers' for colour images; used only where a run has ε = 0
GREY = 0.5  # at this ε every image can become uniform grey


@dataclass(frozen=True, eq=False)
class DatasetSpec:
    """A data set's shape, where its raw files are if it is published, and how runs on it are trained and judged.

    `sha256` maps a stem to the digest of the array's bytes. A stem without one is checked against the sidecar's
    digest if there is a sidecar, else by shape alone: several good copies of the CIFAR10 images circulate (in some, a
    few rows survive only as JPEG). Raises ValueError for an empty `torchvision_class`, and for a published set
    without a training ε.
    """

    name: str
    num_train: int  # rows in the published train file: train + validation
    num_validation: int
    num_test: int
    image_shape: tuple[int, int, int]  # (C, H, W)
    class_names: tuple[str, ...]
    sha256: Mapping[str, str]
    torchvision_class: str | None = None  # that downloads it; None: embedded or custom, not published
    raw_folder: str = ""  # torchvision's, relative to its root
    file_format: str = "idx"  # a key of `datasets.sources.READERS`
    downloads: tuple[Mapping[str, Any], ...] = ({},)  # arguments of `torchvision_class`, one call each
    other_folders: tuple[str, ...] = ()  # further folders that may hold raw files
    validation_last: bool = False  # the validation split is the end of the train file, else drawn from all of it
    short_name: str = ""  # in the names of presets, if it differs from `name`
    epsilon: float | None = None  # default training ε, in pixel units
    epsilons: tuple[float, ...] | None = None  # grid of ε of its tests, ascending; None: made from a run's training ε
    training: Mapping[str, Any] = field(default_factory=dict)  # fields of RunConfig: network, optimiser, augmentation
    # Its presets: the readings it is trained under, and the fields of RunConfig in which it differs from each.
    readings: Mapping[Reading, Mapping[str, Any]] = field(default_factory=lambda: LETTER_AND_PAPER)
    # By the paper, full FGSM training costs at least and at most so many points of clean accuracy; None: not stated.
    points_lost: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.torchvision_class == "":
            raise ValueError(
                f"torchvision_class='' of the data set {self.name} names no class; use None if it has none"
            )
        if self.published and self.epsilon is None:
            raise ValueError(f"epsilon=None is no budget for the published data set {self.name}; give its training ε")

    @property
    def published(self) -> bool:
        """Whether it is published and can be downloaded again; otherwise it is embedded or custom."""
        return self.torchvision_class is not None

    def shape(self, stem: str) -> tuple[int, ...]:
        """Shape of the array `stem`."""
        num = self.num_train if stem.startswith("train") else self.num_test
        return (num, *self.image_shape) if stem.endswith("images") else (num,)


FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

GREY_EPSILONS = tuple(round(0.05 * k, 2) for k in range(9))
CIFAR_EPSILONS = tuple(k / 255 for k in (0, 1, 2, 4, 5.1, 6, 8, 12, 16))
COLOUR: Mapping[str, Any] = {
    "model": "ResNet18",
    "optimizer": "sgd",
    "lr": 0.1,
    "weight_decay": 5e-4,
    "lr_milestones": (0.5, 0.75),
    "augment": True,
}

FASHION_MINI = DatasetSpec(
    name="fashion-mini",
    num_train=6_000,
    num_validation=1_000,
    num_test=2_000,
    image_shape=(1, 28, 28),
    class_names=FASHION_CLASSES,
    sha256={},
    short_name="mini",
    epsilon=0.3,
    epsilons=GREY_EPSILONS,
    readings={"frontier": {"epochs": 10}},
    points_lost=(2.0, 4.0),  # Fashion-MNIST's, whose images it holds
)
SPECS = {
    spec.name: spec
    for spec in (
        DatasetSpec(
            name="mnist",
            num_train=60_000,
            num_validation=5_000,
            num_test=10_000,
            image_shape=(1, 28, 28),
            class_names=tuple("0123456789"),
            torchvision_class="MNIST",
            raw_folder="MNIST/raw",
            epsilon=0.3,
            epsilons=GREY_EPSILONS,
            points_lost=(-math.inf, 0.5),
            sha256={
                "train_images": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
                "train_labels": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
                "test_images": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
                "test_labels": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
            },
        ),
        DatasetSpec(
            name="fashion-mnist",
            num_train=60_000,
            num_validation=5_000,
            num_test=10_000,
            image_shape=(1, 28, 28),
            class_names=FASHION_CLASSES,
            torchvision_class="FashionMNIST",
            raw_folder="FashionMNIST/raw",
            other_folders=("/usr/share/datasets/fashion-mnist",),  # apt install dataset-fashion-mnist
            short_name="fashion",
            epsilon=0.3,
            epsilons=GREY_EPSILONS,
            readings={"letter": {}, "paper": {}, "frontier": {}, "fast": {}},
            points_lost=(2.0, 4.0),
            sha256={
                "train_images": "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
                "train_labels": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
                "test_images": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
                "test_labels": "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
            },
        ),
        DatasetSpec(
            name="cifar10",
            num_train=50_000,
            num_validation=10_000,
            num_test=10_000,
            image_shape=(3, 32, 32),
            class_names=CIFAR_CLASSES,
            torchvision_class="CIFAR10",
            raw_folder="cifar-10-batches-py",
            file_format="cifar-batches",
            epsilon=0.02,
            epsilons=CIFAR_EPSILONS,
            training=COLOUR,
            readings={"letter": {}, "paper": {}, "small": {}},
            points_lost=(2.0, 4.0),
            sha256={
                "train_labels": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
                "test_labels": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
            },
        ),
    )
}


def spec_of(dataset: str) -> DatasetSpec | None:
    """The spec of an embedded or published data set; None for a custom one, which `datasets` knows."""
    return FASHION_MINI if dataset == FASHION_MINI.name else SPECS.get(dataset)


def epsilon_grid(dataset: str, epsilon: float) -> tuple[float, ...]:
    """The grid of ε, ascending, over which a run on `dataset` trained at `epsilon` is tested; it includes `epsilon`.

    The grid of the data set's spec if it has one. Otherwise, as for custom images, 0 to 2 ε in steps of ε/4 up to 0.5,
    where an image can lose all contrast; a run at ε = 0 is tested like one at 8/255.
    """
    spec = spec_of(dataset)
    if spec is None or spec.epsilons is None:
        step = (epsilon or USUAL_EPSILON) / 4
        return tuple(sorted({step * k for k in range(9) if k <= 4 or step * k <= GREY}))
    if any(math.isclose(tested, epsilon, abs_tol=1e-6) for tested in spec.epsilons):
        return spec.epsilons
    return tuple(sorted((*spec.epsilons, epsilon)))
