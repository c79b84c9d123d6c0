"""The Guide page: the package's documentation, readable without a checkout and without torch."""

import re

import pytest
from pages import opened

from aat_explore.views import guide

pytestmark = pytest.mark.usefixtures("store")  # an empty cache: the Guide needs no run


def text_of(app) -> str:
    return "\n".join(part.value for part in app.markdown)


@pytest.mark.parametrize("name", guide.titles())
def test_each_page_is_shown_whole_under_its_title(name):
    app = opened("guide", guide=guide.titles()[name])
    content = (guide.DOCS / name).read_text(encoding="utf-8")
    assert app.title[0].value == guide.titles()[name]
    for heading in re.findall(r"^## .+$", re.sub(r"```.*?```", "", content, flags=re.DOTALL), flags=re.MULTILINE):
        assert heading in text_of(app)
    assert len(app.get("image")) == content.count("\n![")
    for block in re.findall(r"```.*?```", content, flags=re.DOTALL):
        assert block in text_of(app)
    assert "<!--" not in text_of(app)
    assert not app.error


def test_the_first_page_is_the_index_and_another_can_be_chosen():
    app = opened("guide")
    assert app.title[0].value == guide.titles()["index.md"]
    app.segmented_control(key="guide").set_value("Cache").run()
    assert app.title[0].value == "Cache"


def test_a_page_that_does_not_exist_falls_back_to_the_first():
    app = opened("guide", guide="../../etc/passwd")
    assert app.title[0].value == guide.titles()["index.md"]
    assert "does not fit here" in app.warning[0].value


def test_links_between_pages_open_in_the_same_tab_at_the_heading():
    text = text_of(opened("guide", guide="Architecture"))
    address = "?guide=Data%20and%20custom%20parts#custom-images"
    assert f'<a href="{address}" target="_self">Data and custom parts</a>' in text
    assert ".md)" not in text


def test_a_link_to_a_file_that_no_page_shows_becomes_its_path():
    assert "`examples.py` (`aat_explore/examples.py`)" in text_of(opened("guide", guide="Data and custom parts"))
