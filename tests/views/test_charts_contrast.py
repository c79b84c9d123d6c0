"""Text in charts can be read on either theme: its contrast is at least 4.5 : 1, as WCAG 2 asks."""

import tomllib
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aat_explore.views import charts
from aat_explore.views.charts.contrast import ENOUGH, contrast, readable
from aat_explore.views.charts.style import GROUND, OTHER_COLOURS, PAPER_COLOURS, SERIES, text_colour, theme

WORDS = ("labelColor", "titleColor")
CONFIG = Path(__file__).parents[2] / ".streamlit/config.toml"
colours = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("#000000", "#ffffff", 21), ("#777777", "#777777", 1), ("#767676", "#ffffff", 4.54), ("#ff0000", "#ffffff", 4.0)],
)
def test_contrast_is_that_of_wcag(one, other, expected):
    assert contrast(one, other) == contrast(other, one) == pytest.approx(expected, abs=0.005)


@given(colours, colours)
def test_any_colour_becomes_readable_on_any_ground(colour, ground):
    made = readable(colour, ground)
    assert contrast(made, ground) >= ENOUGH
    assert made == colour or contrast(colour, ground) < ENOUGH


def test_the_grounds_are_the_pages():
    themes = tomllib.loads(CONFIG.read_text())["theme"]
    assert {False: themes["light"]["backgroundColor"], True: themes["dark"]["backgroundColor"]} == GROUND


@pytest.mark.parametrize("dark", [False, True])
def test_axes_legends_and_titles_can_be_read(dark):
    config = theme(dark=dark)
    words = [value for part in ("axis", "legend", "header") for name, value in config[part].items() if name in WORDS]
    assert len(words) == 6
    for colour in (*words, config["title"]["color"]):
        assert contrast(colour, GROUND[dark]) >= ENOUGH


@pytest.mark.parametrize("dark", [False, True])
def test_labels_of_lines_can_be_read_and_differ(dark):
    for palette in (SERIES, [*PAPER_COLOURS[dark].values(), *OTHER_COLOURS[dark]]):
        inks = [text_colour(colour, dark=dark) for colour in palette]
        assert all(contrast(ink, GROUND[dark]) >= ENOUGH for ink in inks)
        assert len(set(inks)) == len(palette)


@pytest.mark.parametrize("dark", [False, True])
def test_a_line_in_a_pale_colour_has_a_darker_label(dark):
    curves = pd.DataFrame(
        {"run": list("AABB"), "epoch": [1, 2] * 2, "value": [0.1, 0.2, 0.3, 0.4], "id": "x", "failed": ""}
    )
    spec = charts.compare.run_curves(curves, "clean accuracy", dark=dark).to_dict()
    (labels,) = (layer for layer in spec["layer"] if layer["mark"]["type"] == "text")
    assert labels["encoding"]["color"] == {"field": "ink", "scale": None, "type": "nominal"}
    inks = {row["run"]: row["ink"] for row in spec["datasets"][labels["data"]["name"]]}
    assert inks == {"A": text_colour(SERIES[0], dark=dark), "B": text_colour(SERIES[1], dark=dark)}


def test_the_word_beside_the_rule_of_fgsm_can_be_read():
    steps = pd.DataFrame({"step": [0, 1], "loss": [1.0, 2.0], "fgsm": [1.5, 1.5]})
    word = charts.attack.loss_along_steps(steps).to_dict()["layer"][1]["mark"]
    assert word["type"] == "text"
    assert contrast(word["color"], GROUND[False]) >= ENOUGH > contrast(SERIES[1], GROUND[False])
