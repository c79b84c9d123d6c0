"""The views of app and notebooks, from the same calls: records → numpy → tidy frames → charts, images → one sheet.

    diagnostics.py   statistics of p and K: numpy in, numbers out
    evaluations.py   which evaluations of a run count
    summary.py       one run as a table row, without pandas
    checks.py        which checks a run passes, by all of its records
    effect.py        what perturbing buys in a few runs: the closing words of the demo
    protocols.py     the interfaces of run and data set that views need
    frames/          runs → tidy pandas frames, one file per subject
    recipes.py       names of settings and attacks, and which runs may be averaged or compared
    charts/          frames → Altair charts, one file per subject
    gallery.py       uint8 images → one contact-sheet PNG
    names.py         names of runs for people
    pixels.py        checks images, enlarges them, colours signed differences
    widgets/         explorers for notebooks, from the same calls
    sprite.py        uint8 images → one PNG that the browser cuts into tiles
    report.py        one HTML file with claims, figures and runs
    guide.py         the documentation pages in `docs/`

A run is anything with the attributes of `protocols.Run`. Views open no files except those pages, and never import
torch.
"""
