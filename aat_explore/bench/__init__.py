"""What an epoch costs, compared with other implementations.

    run.py                 `aat bench` and `aat fidelity` on a data set
    contenders.py          what is timed, in interleaved rounds
    baselines.py           what a user would write or install instead: the textbook loop, ART
    baseline_attacks.py    their attacks: written out, foolbox's, torchattacks'
    machine.py             operations, bytes and memory of a call, and the machine's rates
    fidelity.py            cheap ways of scoring compared with the paper's
    tables.py              the measurements as tables

Only the command line imports this package.
"""
