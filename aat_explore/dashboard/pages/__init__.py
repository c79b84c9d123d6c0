"""The pages of the dashboard, one file each.

    runs.py          all runs, to filter and to pick from, and one of them live
    compare.py       two or more runs beside each other
    train.py         start, queue, follow and stop trainings: the only page that writes
    picks.py         what one epoch picked: images, p, classes
    sample.py        one training image over all epochs
    dynamics.py      the sampler over all epochs
    accuracy.py      accuracy against n or training time (Fig. 4), the claim checked
    robustness.py    accuracy against ε (Fig. 1-3 and 5)
    claims.py        the paper's five claims, and what n is enough
    checks.py        whether a run's robustness is real
    attack.py        one sample attacked live: the only page that loads torch
    guide.py         the documentation that comes with the package

Each has a function `show` that chooses, loads and shows.
"""
