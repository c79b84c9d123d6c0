"""The pages of the dashboard, one file per page.

    overview.py      which samples get picked and what they buy, in one screen
    runs.py          all runs, to filter and select, and one of them live
    compare.py       two or more runs side by side
    train.py         start, queue, follow and stop training: the only page that writes
    picks.py         what one epoch picked: images, p, classes
    sample.py        one training image over all epochs
    dynamics.py      the sampler over all epochs
    results.py       accuracy against n, ε and training time, and the paper's claims
    checks.py        whether a run's robustness is real
    attack.py        one sample attacked live: the only page that loads torch
    guide.py         the documentation that comes with the package

Each has a function `show`: choose, load, show.
"""
