"""The Picks page's sheet: as many picked images as fit, clean or adversarial, in an order of choice."""

from dataclasses import dataclass

import streamlit as st

from aat_explore.budgets import epsilon_text
from aat_explore.dashboard import beside, choices, look, page, selection, sheet
from aat_explore.datasets import Dataset
from aat_explore.store import Run
from aat_explore.views import frames, gallery
from aat_explore.views.protocols import Frame
from aat_explore.views.recipes import as_seen

CLEAN, ADVERSARIAL, DIFFERENCE, BESIDE = "clean", "x′", "difference", "side by side"
MODES = (CLEAN, ADVERSARIAL, DIFFERENCE, BESIDE)
COLUMNS = {CLEAN: "clean", ADVERSARIAL: "adversarial", DIFFERENCE: "difference", BESIDE: None}
SIZES = {"S": 30, "M": 56, "L": 88}  # pixels on the screen that an image is about wide
PER_SHEET = ("200", "1000")
OUTCOME_COLOURS = {"fooled": "#e08a00", "resists": "#2f6fb0", "wrong already": "#8d93a1", "corrected": "#9a6fd0"}


@dataclass(frozen=True)
class Options:
    """How the sheet shows the picks."""

    order: str
    mode: str
    size: str
    per_sheet: int
    captions: bool


def _choose_options(dataset: Dataset | None) -> Options:
    """Ask for order, kind of image and size."""
    order = choices.choose("Order", tuple(frames.picks.ORDERS), "order")
    mode = ADVERSARIAL if dataset is None else choices.switch("Show", MODES, "show", label_visibility="collapsed")
    size = choices.switch("Size", ("S", "M", "L"), "size", default="M", label_visibility="collapsed")
    per_sheet = int(choices.switch("Images per sheet", PER_SHEET, "images"))
    captions = choices.toggle("Captions", "captions", help="Row, class, p and predictions under each image")
    return Options(order, mode, size, per_sheet, captions)


def scale_of(width: int, size: str) -> float:
    """Screen pixels per pixel of an image: whole where images are small, so that each pixel stays square."""
    wanted = SIZES[size] / width
    return float(max(1, round(wanted))) if wanted >= 1 else wanted


def show(
    run: Run, epoch: int, dataset: Dataset | None, shown: Frame, selected: tuple[int, ...], opened: int | None
) -> None:
    """Draw one sheet of the picks that pass the filters; a click shows the image at the side."""
    with st.sidebar:
        options = _choose_options(dataset)
    shown = frames.picks.selected(shown, order=options.order)
    passing = len(shown)
    if options.mode != CLEAN:  # every pick has a clean image, but only recorded ones have x′
        shown = shown[shown["recorded"]]
    sheets = max(1, -(-len(shown) // options.per_sheet))
    number = 1
    if sheets > 1:
        with st.sidebar:
            number = choices.whole("Sheet", 1, sheets, 1, "sheet", help=f"Out of {sheets:,}")
    here = shown.iloc[(number - 1) * options.per_sheet : number * options.per_sheet]
    if here.empty:
        st.info(
            f"Epoch {epoch} recorded no adversarial images (warm-up, or num_recorded = 0)."
            if passing and options.mode != CLEAN
            else "No picked image passes these filters; widen log₁₀ p, or clear classes and outcomes."
        )
        return
    picture = gallery.picked_images(run, epoch, here, dataset, COLUMNS[options.mode])
    outcomes = here["outcome"]
    tiles = sheet.Tiles(
        titles=frames.picks.titles(here),
        captions=frames.picks.captions(here) if options.captions else (),
        ids=here["image"].tolist(),
        marks=[OUTCOME_COLOURS.get(outcome, "") for outcome in outcomes] if options.mode != CLEAN else (),
        selected=selected,
        opened=opened,
    )
    every, name = shown["image"].tolist(), f"picks of epoch {epoch} {options.order}"
    width = next(iter(picture.images.values())).shape[-1]
    sheet.draw(
        picture.images,
        tiles,
        "picks",
        scale=scale_of(width, options.size),
        on_select=lambda row: selection.flip(run.config.dataset, row),
        on_open=lambda at: beside.put(run.config.dataset, int(here["image"].iloc[at]), name, every),
    )
    if options.mode != CLEAN and (counts := frames.recorded.outcome_counts(here)):
        look.legend({f"{count:,} {name}": OUTCOME_COLOURS[name] for name, count in counts.items()})
    first = (number - 1) * options.per_sheet + 1
    said = [f"Showing {first:,}–{first + len(here) - 1:,} of {len(shown):,}"]
    if options.mode != CLEAN:
        said += [f"{len(shown):,} of the {passing:,} picks have a recorded x′", *_differences(run, picture)]
        said += _outcomes(run, here)
    st.caption(" · ".join(said))


def _outcomes(run: Run, here: Frame) -> list[str]:
    if here["before"].isna().all():
        return ["recorded by an older aat-explore without predictions, so there are no outcomes"]
    if not here["outcome"].notna().any():
        return []
    return [f"outcomes are by the network that made x′{page.plain(as_seen(run.config))}"]


def _differences(run: Run, picture: gallery.PickedImages) -> list[str]:
    if picture.colours is None:
        return []
    return [picture.colours, f"the largest |x′ − x| is {picture.largest:.3g}, ε is {epsilon_text(run.config.epsilon)}"]
