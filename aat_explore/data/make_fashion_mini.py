"""Build fashion_mini.npz beside this file from the full Fashion-MNIST, wherever `datasets.load` finds it.

AAT_DATA=<folder> python -m aat_explore.data.make_fashion_mini
"""

import numpy as np

from aat_explore import datasets
from aat_explore.datasets.sources import digest


def main() -> None:
    """Draw every class equally from each full split, so that no mini image changes sides; print the digest to pin."""
    full = datasets.load("fashion-mnist")
    arrays = {}
    for part, size in datasets.MINI_SIZES.items():
        split = getattr(full, part)
        picked = datasets.stratified_sample(split.labels, size)
        arrays[f"{part}_images"] = split.images(picked)
        arrays[f"{part}_labels"] = split.labels[picked]
        arrays[f"{part}_rows"] = split.rows[picked]
    np.savez_compressed(datasets.MINI_FILE, **arrays)
    print(f'{datasets.MINI_FILE}\nMINI_SHA256 = "{digest(*arrays.values())}"')


if __name__ == "__main__":
    main()
