"""The dashboard: one module a page, each a function `show` that chooses, loads and shows.

    page.py         what every page is made of: the cache, frames computed once, the way to other pages, messages
    choices.py      choices kept in the URL and from page to page
    downloads.py    charts and tables that can be taken away
    player.py       one epoch slider, with buttons to step and to play
    sheet.py        a sheet of images to click on
    text.py         text out of files, shown as it is
    runs.py         all runs, to filter and to pick from, and one of them live
    compare.py      two or more runs beside each other
    train.py        start, queue, follow and stop trainings: the only page that writes
    picks.py        what one epoch drew: images, p, classes
    sample.py       one training image over all epochs
    dynamics.py     the sampler over all epochs
    figures.py      what the two pages of figures share
    accuracy.py     accuracy against n or training time (Fig. 4), the claim checked
    robustness.py   accuracy against ε (Fig. 1-3 and 5)
    claims.py       the paper's five claims, and what n is enough
    checks.py       whether a run's robustness is real
    attack.py       one sample attacked live: the only page that loads torch
    guide.py        the documentation that comes with the package

Arithmetic, charts and pictures are made in `views`, for notebooks too; `app.py` is the table of pages.
"""
