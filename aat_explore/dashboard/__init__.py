"""The dashboard: its pages, and what they share.

    pages/          one file per page
    page.py         for every page: the cache, results computed once, links between pages, messages
    state.py        everything a browser session remembers
    choices.py      choices kept in the URL and across pages
    context.py      the sidebar: run, second run and epoch, which the pages share
    selection.py    the selected samples, the same on every page, and tags
    look.py         spacing, colours of text, one entry in the browser's history per page
    downloads.py    charts and tables with a download
    run_list.py     a table of runs to sort, tick and open
    player.py       an epoch slider with buttons to step and play
    sheet.py        a sheet of clickable images
    pictures.py     a row of a few images
    sample_panel.py one training image in one epoch
    beside.py       the sample at the side of Picks
    steps.py        the list of images that Previous and Next follow
    picks_sheet.py  the picks of one epoch as a sheet
    filmstrip.py    the picks of several epochs, one row each
    samples_map.py  all samples as points, on the canvas of views
    chosen.py       the selection's images, and what became of them
    figures.py      which runs, settings and test a figure shows, and the claims beside it
    train_form.py   the form of the Train page
    labels.py       labels of its fields
    background.py   the queue: work that pages start, and the run in training live
    text.py         text from files, shown literally

Numbers, charts and images come from `views`, which notebooks use too; `app.py` lists the pages.
"""
