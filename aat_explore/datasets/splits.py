"""Assignment of rows to splits: stratified, and the same on every machine for ever."""

import numpy as np
from numpy.typing import NDArray

from aat_explore.dataset_specs import DatasetSpec

RowArray = NDArray[np.int64]

SPLIT_SEED = 2019  # of the split, not of any run: image i stays image i in every experiment


def stratified_sample(labels: NDArray[np.uint8], size: int) -> RowArray:
    """Ascending int64 (size,) indices into `labels`, each class in proportion to within one (largest remainder).

    The draw is the same on every machine for ever: numpy freezes the stream of RandomState, not of Generator.
    """
    counts = np.bincount(labels).astype(np.int64)
    quotas, remainders = np.divmod(counts * size, len(labels))
    quotas[np.argsort(-remainders, kind="stable")[: size - quotas.sum()]] += 1
    random = np.random.RandomState(SPLIT_SEED)
    drawn = [random.permutation(np.flatnonzero(labels == c))[:quota] for c, quota in enumerate(quotas)]
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def split_rows(spec: DatasetSpec, train_labels: NDArray[np.uint8]) -> tuple[RowArray, RowArray]:
    """Rows of the train file that make the train and the validation split, both int64 and ascending."""
    rows = np.arange(spec.num_train, dtype=np.int64)
    if spec.validation_last:
        return rows[: -spec.num_validation], rows[-spec.num_validation :]
    validation = stratified_sample(train_labels, spec.num_validation)
    return np.setdiff1d(rows, validation), validation
