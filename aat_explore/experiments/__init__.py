"""Engine meets store: one run trained, tested, checked, and looked at up close.

    run.py         one config → one cached run, resumed if it was cut off, then evaluated
    checking.py    one run's network under every check, and the report
    lab.py         one image, one network, one attack; and several networks compared

Nothing here is about many runs or other processes; those are `jobs`.
"""
