"""Engine meets store: train, evaluate and check one run, and attack single images.

    run.py         one config → one cached run, resumed if interrupted, then evaluated
    checking.py    one run's network under every check, and the report
    embedding.py   all training samples in the plane, by a network's last hidden layer
    lab.py         one attack on one image; a comparison of several networks

Many runs and other processes are the subject of `jobs`.
"""
