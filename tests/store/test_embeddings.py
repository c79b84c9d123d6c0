"""Embeddings in the cache: found by the run's weights, and only if they are what they should be."""

import io

import numpy as np
import pytest
from synthetic import make_run

from aat_explore.errors import AATError
from aat_explore.store import Contents, Store, light_copy
from aat_explore.store.embeddings import Embeddings

POINTS = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)


def npy(array) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=True)
    return content.getvalue()


def test_what_is_saved_is_read_by_the_run_its_copies_and_no_other(store, tmp_path):
    run = make_run(store, epochs=2, num_perturbed=20)
    embeddings = Embeddings(store.root)
    assert embeddings.read(run, 7) is None
    path = embeddings.save(run, POINTS)
    assert path.parent == store.root / "embeddings"
    assert np.array_equal(embeddings.read(run, 7), POINTS)
    assert np.array_equal(Embeddings(store.root).read(light_copy(run, tmp_path / "b"), 7), POINTS)
    assert embeddings.read(make_run(store, epochs=2, num_perturbed=30), 7) is None
    assert embeddings.read(run, 7, "umap") is None


def test_a_run_that_was_trained_further_has_no_embedding_yet(store):
    run = make_run(store, epochs=4, committed=2, evaluated=False)
    Embeddings(store.root).save(run, POINTS)
    assert Embeddings(store.root).read(make_run(store, epochs=4, evaluated=False), 7) is None


@pytest.mark.parametrize(
    "content",
    [
        b"", b"junk", npy(POINTS)[:-1], npy(POINTS.astype(np.float64)), npy(POINTS[:6]), npy(POINTS[:, :1]),
        npy(POINTS * np.nan), npy(np.array([print], dtype=object)),
    ],
)  # fmt: skip
def test_a_file_that_is_no_embedding_of_t_samples_does_not_exist(store, content):
    run = make_run(store, epochs=1)
    path = Embeddings(store.root).save(run, POINTS)
    path.write_bytes(content)
    assert Embeddings(store.root).read(run, 7) is None


def test_a_copy_without_weights_has_none(store, tmp_path):
    copy = light_copy(make_run(store, epochs=1), tmp_path / "b", Contents(weights=False))
    assert Embeddings(tmp_path / "b").read(copy, 7) is None
    with pytest.raises(AATError, match=r"has no weights"):
        Embeddings(tmp_path / "b").path(copy)


def test_embeddings_are_no_runs(store):
    Embeddings(store.root).save(make_run(store, epochs=1), POINTS)
    assert len(Store(store.root).list().runs) == 1
