"""All samples as points on a canvas, in the browser: the same drawing for the dashboard and for notebooks.

    points.py   what the browser needs of a map, as bytes, and the map as HTML, CSS and JavaScript
    widget.py   the map in a notebook
    still.py    the same points as a PNG, where no browser draws them

`plotting.js` and `samples_map.js` are one script, which ends with a few lines of the layer that shows it. Altair draws
each point as a shape of its own, which at T = 55,000 takes seconds; here the browser gets bytes and writes pixels. Text
is set as text, never as HTML: it comes from files.
"""
