"""One page of the dashboard by Streamlit's own test runner, for the tests of all pages."""

import json
import struct

import numpy as np
from streamlit.testing.v1 import AppTest

HOSTILE = "**bold** `x` $y$ :red[z] [a](http://b) <img src=c> # _d_ | ~e~"
SCRIPT = """
from aat_explore.dashboard import page
from aat_explore.dashboard.pages import {name}

with page.drawing():
    {name}.show()
"""


def app(name: str) -> AppTest:
    """A page by its module's name, not yet run."""
    return AppTest.from_string(SCRIPT.format(name=name), default_timeout=60)


def opened(name: str, **query) -> AppTest:
    """A page as a link with these parameters opens it; fails on a traceback."""
    return ran(app(name), **query)


def ran(page: AppTest, **query) -> AppTest:
    """Any script run with these parameters in its URL; fails on a traceback."""
    page.query_params.update({key: value if isinstance(value, list) else str(value) for key, value in query.items()})
    page.run()
    return sound(page)


def sound(page: AppTest) -> AppTest:
    assert not page.exception, page.exception[0].message
    return page


def said(page: AppTest) -> str:
    """Everything a page says in words."""
    alerts = [*page.info, *page.warning, *page.error, *page.success]
    texts = [*page.caption, *page.code, *page.markdown]
    return "\n".join([f"{alert.icon} {alert.value}" for alert in alerts] + [part.value for part in texts])


def chosen_run(page: AppTest, key: str = "run") -> str:
    """The id of the run that a page shows, by its URL."""
    return page.query_params[key] if isinstance(page.query_params[key], str) else page.query_params[key][0]


def markup(page: AppTest) -> str:
    """The HTML that a page shows as it is."""
    return "".join(element.proto.body for element in page.get("html"))


def captions(page: AppTest) -> str:
    return "\n".join(part.value for part in page.caption)


def sheets(page: AppTest) -> list[dict]:
    """What the sheets of images were given."""
    return [json.loads(element.proto.json) for element in page.get("bidi_component") if element.proto.json]


def samples_map(page: AppTest) -> dict:
    """What the map was given: its head, and x, y (T,), picked and selected bool (T,), labels (T,) if there are any."""
    [packed] = [element.proto.bytes for element in page.get("bidi_component") if element.proto.bytes]
    start = 4 + struct.unpack("<I", packed[:4])[0]
    head, arrays = json.loads(packed[4:start]), packed[start:]
    count = head["count"]
    x, y = np.frombuffer(arrays[: 8 * count], "<f4").reshape(2, count)
    bits, labels = arrays[8 * count :], None
    size = -(-count // 8)
    flags = [
        np.unpackbits(np.frombuffer(bits[at : at + size], np.uint8), count=count, bitorder="little").astype(bool)
        for at in (0, size)
    ]
    if head["classes"]:
        labels = np.frombuffer(bits[2 * size :], np.uint8)
        assert len(labels) == count
    return head | {"x": x, "y": y, "picked": flags[0], "selected": flags[1], "labels": labels}


def images(page: AppTest, at: int = 0) -> list[int]:
    """Rows of the training split on the tiles of a sheet, in order, where titles begin with `#row,`."""
    return [int(title[1:].split(",")[0]) for title in sheets(page)[at]["titles"]]
