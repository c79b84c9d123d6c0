"""What data sets look like, and which bytes they hold; all that is known of each published one."""

from collections.abc import Mapping
from dataclasses import dataclass

STEMS = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True, eq=False)
class DatasetSpec:
    """What a data set must look like, and, if it is published, where its raw files lie.

    `sha256` maps a stem to the digest of the array's bytes. A stem without one is held to the sidecar's digest if there
    is a sidecar, else to its shape alone: of the CIFAR10 images more than one good copy is about (some have a few rows
    that could only be had as JPEG).
    """

    name: str
    num_train: int  # rows in the published train file: train + validation
    num_validation: int
    num_test: int
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    sha256: Mapping[str, str]
    torchvision_class: str = ""
    raw_folder: str = ""  # torchvision's, relative to its root

    @property
    def published(self) -> bool:
        """Whether it is published, and can be had again; if not, it is one's own."""
        return bool(self.torchvision_class)

    def shape(self, stem: str) -> tuple[int, ...]:
        """Shape of the array `stem`."""
        num = self.num_train if stem.startswith("train") else self.num_test
        return (num, *self.image_shape) if stem.endswith("images") else (num,)


FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

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
            sha256={
                "train_labels": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
                "test_labels": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
            },
        ),
    )
}
