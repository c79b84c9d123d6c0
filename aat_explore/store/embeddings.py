"""Places of all training samples in the plane, by a network's last hidden layer; kept beside the runs of a cache.

cache/embeddings/<run>-<epoch>-<digest of its weights' file>-<method>.npy      float32 (T, 2)

They are computed from a run and never part of one, so that runs of the showcase have them too and no result depends on
them. A run that was trained further, or again, has other weights and so another file.
"""

import io
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aat_explore.errors import AATError
from aat_explore.places import cache_folder
from aat_explore.store.run import Array, Run
from aat_explore.store.writer import write_whole

Method = Literal["pca", "umap"]


class Embeddings:
    """The embeddings in a cache: one a run and method, of the run's last kept checkpoint."""

    def __init__(self, root: Path | str | None = None) -> None:
        self._folder = cache_folder(root) / "embeddings"

    def path(self, run: Run, method: Method = "pca") -> Path:
        """Where the embedding of a run's last kept checkpoint belongs; AATError if the run has no weights."""
        kept = run.checkpoints()
        if not kept:
            raise AATError(f"run={run.id} has no weights, as copies made with --no-weights; embed the run it is of")
        weights = run.head.files[f"checkpoints/{kept[-1]:04d}.safetensors"]
        return self._folder / f"{run.id}-{kept[-1]:04d}-{weights.sha256[:12]}-{method}.npy"

    def read(self, run: Run, num_train: int, method: Method = "pca") -> NDArray[np.float32] | None:
        """Read a run's embedding, float32 (T, 2); None if there is none, or the file is no embedding of T samples."""
        if not run.checkpoints():
            return None
        try:
            content = self.path(run, method).read_bytes()
            points: Array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
        except Exception:  # numpy evaluates the header as Python, which can raise anything
            return None
        sound = points.dtype == np.float32 and points.shape == (num_train, 2) and bool(np.isfinite(points).all())
        return points if sound else None

    def save(self, run: Run, points: NDArray[np.float32], method: Method = "pca") -> Path:
        """Write a run's embedding, float32 (T, 2), in place of an older one; AATError if it cannot be written."""
        content = io.BytesIO()
        np.lib.format.write_array(content, np.ascontiguousarray(points, dtype=np.float32), allow_pickle=False)
        path = self.path(run, method)
        write_whole(path, content.getvalue())
        return path
