"""The dashboard: what its pages are made of.

    pages/          one file a page
    page.py         what every page is made of: the cache, frames computed once, the way to other pages, messages
    state.py        what a browser session remembers, entry by entry
    choices.py      choices kept in the URL and from page to page
    downloads.py    charts and tables that can be taken away
    player.py       one epoch slider, with buttons to step and to play
    sheet.py        a sheet of images to click on
    figures.py      what the two pages of figures share
    text.py         text out of files, shown as it is

Arithmetic, charts and pictures are made in `views`, for notebooks too; `app.py` is the table of pages.
"""
