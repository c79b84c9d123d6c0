"""One file a page; each has a `show` that chooses, loads and shows.

accuracy.py     accuracy against n
attack.py       one sample attacked live; the only one that loads torch
checks.py       whether a run's robustness is real
claims.py       the paper's five claims, and what n is enough
compare.py      what sets runs apart
dynamics.py     the sampler over all epochs
guide.py        the package's documentation
picks.py        one epoch's picks
robustness.py   accuracy against ε
runs.py         the table of runs, live
sample.py       one training image over all epochs
train.py        start, queue, follow and stop trainings
"""
