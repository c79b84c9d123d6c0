"""Trainings in separate processes, for the grid, the queue and the Train page; loads torch only in a worker.

    job.py         one training asked for: the `Task` that a worker does, the `Job` that the queue keeps
    worker.py      the one way a training process is started, and what it does
    log.py         what a worker prints
    processes.py   checks that a process id is still the same process
    standing.py    how far the cache has what a task asks for
    cost.py        what a training will cost, from measured runs
    queue.py       trainings that outlive the page that started them, one after another
    grid.py        many runs, several at a time, in the foreground

A task names no machine and no folder, and may be repeated safely: a worker anywhere resumes the run after its last
committed epoch. `worker.command` is all that another scheduler (Slurm, Ray) has to run.
"""
