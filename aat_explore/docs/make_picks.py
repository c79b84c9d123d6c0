"""Build picks.png beside this file: the images that a cached run is most likely to pick, epoch by epoch.

python -m aat_explore.docs.make_picks [RUN [CACHE]]
"""

import sys
from pathlib import Path

from aat_explore import gallery, load_dataset, open_run, showcase
from aat_explore.errors import AATError
from aat_explore.views import diagnostics

PICTURE = Path(__file__).with_name("picks.png")
RUN = "fashion-mini-n100-p1-fgsm-s0-604fc0e2"  # of the showcase
EPOCHS = (1, 2, 4, 8, 15)
COLUMNS = 20


def picture(run_id: str = RUN, cache_dir: Path | str | None = None) -> bytes:
    """Return the PNG of a run of the showcase, or of `cache_dir`: a row for each of `EPOCHS`, highest p first.

    Raises AATError if there is no such run, or if none of these epochs drew from a distribution.
    """
    cache = showcase() if cache_dir is None else cache_dir
    run = open_run(run_id, cache)
    dataset = load_dataset(run.config.dataset, cache_dir=cache)
    rows = {}
    for epoch in (epoch for epoch in EPOCHS if epoch <= run.epoch):
        if (p := run.probabilities(epoch)) is not None:
            likeliest = diagnostics.ranks(p).argsort(kind="stable")[:COLUMNS]
            rows[f"epoch {epoch}"] = dataset.train.images(likeliest)
    if not rows:
        raise AATError(f"run={run.id} has no p in epochs {EPOCHS}; choose one that draws samples and records them")
    return gallery.strip(rows)


if __name__ == "__main__":
    PICTURE.write_bytes(picture(*sys.argv[1:3]))
