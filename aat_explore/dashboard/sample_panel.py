"""One training image in one epoch: image, x′ and difference, facts, and its history; beside a sheet or on its page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import streamlit as st

from aat_explore.dashboard import downloads, page, pictures
from aat_explore.datasets import Dataset
from aat_explore.store import Run
from aat_explore.views import charts, frames, gallery, pixels, recipes
from aat_explore.views.protocols import Array, Frame

CLEAN, ADVERSARIAL = "clean", "x′"


@dataclass(frozen=True)
class Sample:
    """Row `image` of a run's training split, with p and draws of all samples in the run."""

    run: Run
    dataset: Dataset | None
    matrix: frames.sample.PMatrix
    drawn: Array
    image: int

    @property
    def address(self) -> str:
        """The value of `pin` in the URL."""
        return f"{self.run.id}:{self.image}"

    @property
    def num_train(self) -> int:
        """T."""
        return frames.sample.num_train(self.matrix, self.drawn, self.dataset)

    @property
    def facts(self) -> frames.sample.SampleFacts:
        """When it was drawn, and its mean p."""
        return frames.sample.sample_facts(self.matrix, self.drawn, self.image)

    @property
    def class_name(self) -> str | None:
        """Name of its class; None without the images."""
        return None if self.dataset is None else frames.sample.class_of(self.run, self.dataset, self.image)

    @property
    def title(self) -> str:
        """Its row and class, as Markdown."""
        named = "" if self.class_name is None else f" · {page.plain(self.class_name)}"
        return f"**\\#{self.image}**{named}"

    def moment(self, epoch: int) -> frames.sample.Moment:
        """What is on record about it in one epoch."""
        return frames.sample.moment(self.matrix, self.drawn, epoch, self.image)

    def version(self, epoch: int) -> frames.recorded.SampleVersions | None:
        """Its x′ of one epoch; None unless the epoch drew and recorded it."""
        if not self.moment(epoch).is_drawn:
            return None
        return page.remembered(frames.recorded.sample_versions, self.run, self.image, (epoch,), self.dataset)


def load(run: Run, dataset: Dataset | None, image: int) -> Sample:
    """Row `image`, with the run's records."""
    matrix, drawn = page.held(frames.sample.p_matrix, run), page.held(frames.sample.draw_matrix, run)
    return Sample(run, dataset, matrix, drawn, image)


def panel(
    run: Run, dataset: Dataset | None, epoch: int, image: int, *, on_close: Callable[[], None] | None = None
) -> None:
    """Show the image in this epoch, in a place about 250 pixels wide, with buttons to its page and the attack lab."""
    sample = load(run, dataset, image)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(sample.title, width="content")
        if on_close is not None:
            st.button(":material/close:", key="panel close", help="Close", type="tertiary", on_click=on_close)
    images(sample, epoch, most=110)
    facts(sample, epoch)
    if len(sample.matrix.epochs):
        p_chart(history([(f"#{image}", sample)]), f"{run.id}-image-{image}", epoch, height=120)
    with st.container(horizontal=True, gap="xsmall"):
        if st.button("All epochs", icon=":material/timeline:", key="panel epochs"):
            page.open_page("sample", run=run.id, epoch=epoch, image=image)
        if st.button("Attack lab", icon=":material/bolt:", key="panel attack"):
            page.open_page("attack", run=run.id, image=image)


def images(sample: Sample, epoch: int, *, most: int) -> None:
    """Clean image, x′ of the epoch and their signed difference side by side, each at most `most` pixels wide."""
    version = sample.version(epoch)
    x_adv = None if version is None else version.x_adv
    clean = None
    if sample.dataset is not None:
        clean = frames.sample.clean_images(sample.run, sample.dataset, [sample.image])
    signs = None
    if clean is not None and x_adv is not None:
        signs = gallery.difference(clean, x_adv, sample.run.config.epsilon)
    missing = _missing(sample, epoch)
    name = f"Training image {sample.image}"
    shown = [
        pictures.Picture(CLEAN, f"{name}, clean", None if clean is None else clean[0], "not on this machine"),
        pictures.Picture(
            f"x′ of epoch {epoch}",
            f"{name} as perturbed in epoch {epoch}",
            None if x_adv is None else x_adv[0],
            missing,
        ),
        pictures.Picture(
            gallery.DIFFERENCE,
            f"{name}, signed difference" if x_adv is None else f"{name}: {pixels.meaning(x_adv.shape[1])}",
            None if signs is None else signs[0],
            missing if x_adv is None else "needs the clean image",
        ),
    ]
    pictures.row(shown, most=most)


def _missing(sample: Sample, epoch: int) -> str:
    if not sample.moment(epoch).is_drawn:
        return f"not picked in epoch {epoch}"
    return f"picked in epoch {epoch}, but x′ was not recorded"


def facts(sample: Sample, epoch: int) -> None:
    """What the epoch made of it: picked or not, p, rank, predictions, outcome and losses."""
    moment, version = sample.moment(epoch), sample.version(epoch)
    lines = [f"Epoch {epoch}: **{'picked' if moment.is_drawn else 'not picked'}**"]
    if moment.times_uniform is not None and moment.rank is not None:
        T = sample.matrix.p.shape[1]
        lines.append(f"{frames.picks.times(moment.times_uniform)} · rank {moment.rank:,} of {T:,}")
    if version is not None:
        texts = frames.recorded.prediction_texts(version.predictions.iloc[0].to_dict())
        lines.append(" · ".join(page.plain(text) for text in texts) or "recorded without predictions")
    st.markdown("  \n".join(lines), help=_by_whom(sample) if version is not None else None)


def _by_whom(sample: Sample) -> str:
    return f"Predictions and losses are by the network that made x′{page.plain(recipes.as_seen(sample.run.config))}."


def history(samples: Sequence[tuple[str, Sample]]) -> Frame:
    """p and rank over the epochs of samples that have p, with the names of their lines."""
    return frames.sample.together(
        [frames.sample.sample_history(sample.matrix, sample.drawn, sample.image, name) for name, sample in samples]
    )


def p_chart(frame: Frame, name: str, epoch: int, *, height: int, legend: bool = False) -> None:
    """p over the epochs, as a multiple of uniform, with the picks marked and a rule at `epoch`."""
    if not (frame["p"] > 0).any():
        st.caption("p is 0 in every epoch.")
        return
    downloads.chart(
        partial(charts.sample.p_history, frame, epoch=epoch, legend=legend),
        frame,
        f"{name}-p",
        alt=f"p as a multiple of uniform over the epochs, on a log axis; marks are epochs that picked {name}",
        height=height,
    )
