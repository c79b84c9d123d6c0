"""What the app and the notebooks show, by the same calls: records → numpy → tidy frames → charts, images → one sheet.

    diagnostics.py   the arithmetic on p and K: numpy in, numbers out
    evaluations.py   which evaluations of a run count
    summary.py       one run in a row, without pandas
    checks.py        which checks a run passes, by all that is on record
    protocols.py     what views need of a run and of a data set
    frames/          runs → tidy pandas frames, a file a subject
    recipes.py       names of settings and attacks, and which runs may be averaged or compared
    charts/          frames → Altair charts, a file a subject
    gallery.py       uint8 images → one contact-sheet PNG
    pixels.py        images checked, enlarged, differences amplified
    widgets/         explorers for notebooks, of the same calls
    sprite.py        uint8 images → one PNG that a browser cuts into tiles
    report.py        one HTML file with claims, figures and runs
    guide.py         the documentation pages in `docs/`

A run is anything with the attributes of `protocols.Run`; views open no file but those pages, and never import torch.
"""
