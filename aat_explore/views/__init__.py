"""What the app and the notebooks show, by the same calls: records → numpy → tidy frames → charts, images → one sheet.

    diagnostics.py   the arithmetic on p and K: numpy in, numbers out
    evaluations.py   which evaluations of a run count
    frames.py        runs → tidy pandas frames: one run, one of its epochs, or many runs for the paper's figures
    recipes.py       names of settings and attacks, and which runs may be averaged or compared
    charts.py        frames → Altair charts
    gallery.py       uint8 images → one contact-sheet PNG

A run is anything with the attributes of `frames.Run`; views open no file and never import torch.
"""
