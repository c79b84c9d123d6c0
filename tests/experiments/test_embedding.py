"""Training samples in the plane by a network's last hidden layer: it is that layer, and these are its components."""

import hashlib
import shutil
import sys
from types import SimpleNamespace

import networks
import numpy as np
import pytest
import torch
from torch import nn

from aat_explore import optional
from aat_explore.errors import AATError
from aat_explore.experiments import embedding
from aat_explore.store import Store, showcase
from aat_explore.store.embeddings import Embeddings

MINI = "fashion-mini-n1000-p1-fgsm-s0-6bb98788"


@pytest.fixture
def copied(tmp_path, no_other_data):
    """A cache whose showcase is one run."""
    shutil.copytree(showcase() / "runs" / MINI, tmp_path / "showcase" / "runs" / MINI)
    return Store(tmp_path)


def digests(folder) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


# --- The last hidden layer -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["StdCNN", "ResNet18"])
def test_the_last_linear_layer_makes_the_logits_of_it(name):
    network, samples = networks.fresh(name), networks.mini_set(0, 210)  # more than a chunk
    hidden = embedding.last_hidden(network, samples)
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    assert hidden.shape == (210, last.in_features)
    with torch.no_grad():
        logits = network.eval()(samples.images.float() / 255)
        assert torch.allclose(last(torch.from_numpy(hidden)), logits, atol=1e-4)


def test_a_network_is_left_as_it_was():
    network = networks.fresh("StdCNN").train()
    embedding.last_hidden(network, networks.mini_set(0, 3))
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_the_layer_called_last_counts_and_not_the_one_defined_last():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.second, self.first = nn.Linear(7, 10), nn.Linear(784, 7)

        def forward(self, x):
            return self.second(input=self.first(x.flatten(1)))

    assert embedding.last_hidden(Backwards(), networks.mini_set(0, 5)).shape == (5, 7)


def test_networks_without_a_linear_layer_and_diverged_ones_are_named():
    with pytest.raises(AATError, match=r"run=x calls no torch\.nn\.Linear"):
        embedding.last_hidden(nn.Flatten(), networks.mini_set(0, 3), whose="run=x")
    diverged = nn.Sequential(nn.Flatten(), nn.Linear(784, 5), nn.Linear(5, 10))
    nn.init.constant_(diverged[1].bias, float("nan"))
    with pytest.raises(AATError, match="this network has a last hidden layer with NaN"):
        embedding.last_hidden(diverged, networks.mini_set(0, 3))


# --- Principal components --------------------------------------------------------------------------------------------


def test_the_components_are_those_of_the_singular_value_decomposition():
    hidden = np.random.default_rng(0).normal(size=(500, 6)) @ np.diag([9, 5, 3, 1, 1, 1]) + 100
    points, shares = embedding.principal_components(hidden)
    centred = hidden - hidden.mean(axis=0)
    u, s, vt = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign([axis[np.abs(axis).argmax()] for axis in vt[:2]])
    assert points == pytest.approx(u[:, :2] * s[:2] * signs, rel=1e-4, abs=1e-4)
    assert shares == pytest.approx(s[:2] ** 2 / (s**2).sum())
    assert points.dtype == np.float32


def test_the_sign_does_not_depend_on_the_order_or_the_origin_of_the_samples():
    hidden = np.random.default_rng(1).gamma(1.0, size=(300, 5)) * [1, 2, 3, 4, 5]
    points, _ = embedding.principal_components(hidden)
    moved, _ = embedding.principal_components(hidden[::-1] + 7)
    assert moved[::-1] == pytest.approx(points, abs=1e-4)


@pytest.mark.parametrize("hidden", [np.ones((4, 3)), np.arange(4.0)[:, None], np.ones((1, 5))])
def test_components_that_do_not_exist_are_0(hidden):
    points, shares = embedding.principal_components(hidden)
    assert points.shape == (len(hidden), 2)
    assert not points[:, 1].any()
    assert shares[1] == 0
    assert sum(shares) in (0, pytest.approx(1))


# --- A run's ---------------------------------------------------------------------------------------------------------


def test_a_run_of_the_showcase_is_embedded_and_only_read(copied):
    before = digests(copied.root / "showcase")
    result = embedding.embed(MINI, cache_dir=copied.root, device="cpu", threads=1)
    run = copied.open(MINI)
    assert digests(copied.root / "showcase") == before
    assert result.points.shape == (5000, 2)
    assert result.epoch == run.checkpoints()[-1]
    assert 0.2 < sum(result.shares) <= 1
    assert result.path.parent == copied.root / "embeddings"
    assert np.array_equal(Embeddings(copied.root).read(run, 5000), result.points)


def test_an_embedding_that_is_there_is_not_computed_again_unless_it_is_damaged(copied, monkeypatch):
    first = embedding.embed(MINI, cache_dir=copied.root, threads=1)
    with monkeypatch.context() as patched:
        patched.setattr(embedding, "load_network", lambda *_: pytest.fail("computed again"))
        again = embedding.embed(MINI, cache_dir=copied.root)
    assert np.array_equal(again.points, first.points)
    assert again.shares is None
    content = first.path.read_bytes()
    first.path.write_bytes(content[:1000])
    assert embedding.embed(MINI, cache_dir=copied.root, threads=1).shares == first.shares
    assert first.path.read_bytes() == content


def test_umap_gets_the_hidden_layer_and_a_seed_and_has_a_file_of_its_own(copied, monkeypatch):
    asked = {}

    class Umap:
        def __init__(self, **options):
            asked.update(options)

        def fit_transform(self, hidden):
            asked["shape"] = hidden.shape
            return hidden[:, :2].astype(np.float64)

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Umap))
    result = embedding.embed(MINI, "umap", cache_dir=copied.root, threads=1)
    assert asked == {"n_components": 2, "random_state": 0, "shape": (5000, 50)}
    assert result.points.dtype == np.float32
    assert Embeddings(copied.root).read(copied.open(MINI), 5000) is None
    assert np.array_equal(Embeddings(copied.root).read(copied.open(MINI), 5000, "umap"), result.points)


@pytest.mark.skipif(optional.installed("umap"), reason="umap-learn is installed")
def test_without_umap_learn_the_error_says_how_to_install_it(copied):
    with pytest.raises(AATError, match=r"pip install 'aat-explore\[embed\]'"):
        embedding.embed(MINI, "umap", cache_dir=copied.root)
    assert not (copied.root / "embeddings").exists()


def test_an_unknown_method_is_named(copied):
    with pytest.raises(AATError, match="method=tsne is unknown; choose one of pca, umap"):
        embedding.embed(MINI, "tsne", cache_dir=copied.root)
