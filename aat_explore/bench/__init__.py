"""What an epoch costs, against other ways to do it.

    run.py                 `aat bench` and `aat fidelity` on a data set
    contenders.py          what is timed, in interleaved rounds
    baselines.py           what one would write or install instead: the textbook loop, ART
    baseline_attacks.py    the attacks in it: written out, foolbox's, torchattacks'
    machine.py             operations, bytes, memory, and the machine's rates
    fidelity.py            cheap scores against the paper's
    tables.py              what was measured, as tables

Nothing but the command line imports this.
"""
