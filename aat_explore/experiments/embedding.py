"""All training samples in the plane, by a network's last hidden layer: its principal components, or UMAP.

Measured on the hidden layer of StdCNN (50 wide) for the 55,000 samples of Fashion-MNIST: of a sample's ten nearest
neighbours there, 4% are among its ten nearest by two principal components, and 21% by UMAP; UMAP takes two minutes on
one core in place of 0.03 seconds, and libraries of 295 MB.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aat_explore import datasets
from aat_explore.algorithm.gradients import attacked, pixels
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.device import computing
from aat_explore.engine.networks import placed
from aat_explore.errors import AATError
from aat_explore.experiments.run import image_set, load_network
from aat_explore.optional import imported
from aat_explore.store import Store
from aat_explore.store.embeddings import Embeddings, Method


@dataclass(frozen=True)
class Embedding:
    """Coordinates of all T training samples, float32 (T, 2), of the network after `epoch`, and the file they are in.

    `shares`: of the hidden layer's variance along each axis; None for UMAP, and if the file was already there.
    """

    points: NDArray[np.float32]
    epoch: int
    path: Path
    shares: tuple[float, float] | None = None


def embed(
    run_id: str,
    method: Method = "pca",
    *,
    cache_dir: Path | str | None = None,
    device: str | None = None,
    threads: int | None = None,
) -> Embedding:
    """Embed all training samples by a run's network after its last kept checkpoint, and keep the result in the cache.

    `method` is `pca`, the first two principal components, or `umap`, which keeps more neighbours together and needs
    umap-learn. An embedding that is there is returned as it is. The run itself is only read. Raises AATError if there
    is no such run, for unknown data, a run without weights, a network without a linear layer, and without umap-learn.
    """
    if method not in get_args(Method):
        raise AATError(f"method={method} is unknown; choose one of {', '.join(get_args(Method))}")
    run, embeddings = Store(cache_dir).open(run_id), Embeddings(cache_dir)
    path = embeddings.path(run, method)
    epoch = run.checkpoints()[-1]
    data = datasets.load(run.config.dataset, cache_dir=cache_dir)
    if (points := embeddings.read(run, len(data.train), method)) is not None:
        return Embedding(points, epoch, path)
    umap = imported("umap") if method == "umap" else None  # before the network takes its time
    with computing(device, threads) as place:
        network = placed(load_network(run, data, epoch), place)
        hidden = last_hidden(network, image_set(data.train, place), whose=f"run={run_id}")
    shares = None
    if umap is None:
        points, shares = principal_components(hidden)
    else:
        points = umap.UMAP(n_components=2, random_state=0).fit_transform(hidden).astype(np.float32)
    return Embedding(points, epoch, embeddings.save(run, points, method), shares)


def last_hidden(network: nn.Module, samples: ImageSet, *, whose: str = "this network") -> NDArray[np.float32]:
    """Return the last hidden layer of each sample, float32 (N, D): what the last linear layer that is called receives.

    Eval mode; the network's state is restored. AATError if no linear layer is called, or it receives NaN or infinity.
    """
    parts: list[Tensor] = []
    with attacked(network), torch.no_grad(), _inputs_of_linear(network) as received:
        for _, chunk in samples.chunks():
            received.clear()
            network(pixels(chunk.images))
            if not received:
                raise AATError(f"{whose} calls no torch.nn.Linear, so its last hidden layer is unknown; embed another")
            parts.append(received[-1].flatten(1).float().cpu())
    hidden: NDArray[np.float32] = torch.cat(parts).numpy()
    if not np.isfinite(hidden).all():
        raise AATError(f"{whose} has a last hidden layer with NaN or infinity; the network has diverged: lower lr")
    return hidden


def principal_components(hidden: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """Return the first two principal components of `hidden` (N, D), float32 (N, 2), and their shares of the variance.

    Of each axis the loading of largest absolute value is positive, so that the picture does not depend on the sign that
    an eigenvector comes with. The eigenvectors are those of the covariance (D, D) in float64: for D = 512 the singular
    values of `hidden` itself would take far longer. Missing components (D or N = 1) are 0.
    """
    centred = hidden.astype(np.float64)
    centred -= centred.mean(axis=0)
    variances, axes = np.linalg.eigh(centred.T @ centred)
    axes, variances = axes[:, ::-1][:, :2], np.maximum(variances[::-1], 0)
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    points = np.zeros((len(hidden), 2), dtype=np.float32)
    points[:, : axes.shape[1]] = centred @ axes
    shares = np.zeros(2)
    if variances.sum() > 0:
        shares[: axes.shape[1]] = variances[:2] / variances.sum()
    return points, (float(shares[0]), float(shares[1]))


@contextmanager
def _inputs_of_linear(network: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what each linear layer of the network receives, in the order of the calls."""
    received: list[Tensor] = []
    handles = [
        module.register_forward_pre_hook(
            lambda _, arguments, named: received.append((*arguments, *named.values())[0].detach()), with_kwargs=True
        )
        for module in network.modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        yield received
    finally:
        for handle in handles:
            handle.remove()
