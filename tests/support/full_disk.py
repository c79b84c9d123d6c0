"""A disk that is full for some files."""

from contextlib import contextmanager

import numpy as np
import pytest


@contextmanager
def disk_full_at(stem):
    """No array whose file's name holds `stem` can be saved whole."""
    save = np.save

    def full(path, array, **options):
        save(path, array, **options)
        if stem in path.name:
            raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(np, "save", full)
        yield
