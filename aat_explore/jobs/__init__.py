"""Trainings in processes of their own, for the grid, the queue and the Train page; loads torch only in a worker.

    job.py         one training asked for: the `Task` that a worker does, the `Job` that the queue keeps
    worker.py      the one way a training process is started, and what it does
    log.py         what a worker prints
    processes.py   whether a process id is still the same process
    standing.py    how a run stands in a cache, of what a task wants
    cost.py        what a training will cost, from what others took
    queue.py       trainings that outlive the page which asked for them, one after another
    grid.py        many runs, several at a time, while one waits for them

A task names no machine and no folder, and doing it twice is doing it once: a run goes on after its last committed
epoch wherever a worker is given it next. `worker.command` is the whole of what another engine (Slurm, Ray) has to run.
"""
