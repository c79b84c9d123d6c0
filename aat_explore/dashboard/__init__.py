"""The dashboard: one module a page, each a function `show` that chooses, loads and shows.

    page.py         what every page is made of: the cache, frames computed once, messages
    choices.py      choices kept in the URL and from page to page
    downloads.py    charts and tables that can be taken away
    player.py       one epoch slider, with buttons to step and to play
    sheet.py        a sheet of images to click on
    text.py         text out of files, shown as it is
    runs.py         all runs, and one of them live
    picks.py        what one epoch drew: images, p, classes
    figures.py      what the two pages of figures share
    accuracy.py     accuracy against n (Fig. 4)
    robustness.py   accuracy against ε (Fig. 1-3 and 5)

Arithmetic, charts and pictures are made in `views`, for notebooks too; `app.py` is the table of pages.
"""
