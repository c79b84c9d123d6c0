"""The dashboard: its pages, and what they share.

    pages/          one file per page
    page.py         for every page: the cache, results computed once, links between pages, messages
    state.py        everything a browser session remembers
    choices.py      choices kept in the URL and across pages
    downloads.py    charts and tables with a download
    player.py       an epoch slider with buttons to step and play
    sheet.py        a sheet of clickable images
    figures.py      shared by the two pages with the paper's figures
    labels.py       labels of the Train form
    text.py         text from files, shown literally

Numbers, charts and images come from `views`, which notebooks use too; `app.py` lists the pages.
"""
