"""An epoch slider with buttons to step and play."""

import streamlit as st

from aat_explore.dashboard import choices, state
from aat_explore.store import Run

PACE = 0.8  # seconds per epoch when playing: longer than a page of 200 images takes to draw


def choose_epoch(run: Run) -> int:
    """The epoch that the URL's `epoch` names, if the run has it; else its last."""
    epoch = choices.number("Epoch", 1, run.epoch, run.epoch, "epoch", always=True)
    if run.epoch == 1:
        st.caption("This run has one epoch so far.")
        return 1
    if epoch == run.epoch:
        state.PLAYING.set(None)  # at the end: stepping back must not resume playing
    playing = state.PLAYING.get() == run.id
    with st.container(horizontal=True, gap="xxsmall", vertical_alignment="center"):
        _button("arrow_back", "Previous epoch (Shift+←)", "Shift+Left", epoch == 1, epoch - 1)
        st.button(
            "Pause" if playing else "Play",
            help="Pause (P)" if playing else "Play the epochs (P), from the first if this is the last",
            shortcut="P",
            key="play",
            on_click=_play,
            args=(run, epoch, playing),
        )
        _button("arrow_forward", "Next epoch (Shift+→)", "Shift+Right", epoch == run.epoch, epoch + 1)
    if playing:
        _next(epoch)
    return epoch


def _button(icon: str, help_text: str, shortcut: str, disabled: bool, epoch: int) -> None:
    st.button(
        f":material/{icon}:",
        help=help_text,
        shortcut=shortcut,
        key=icon,
        disabled=disabled,
        on_click=choices.ask,
        args=("epoch", epoch),
    )


def _play(run: Run, epoch: int, playing: bool) -> None:
    state.PLAYING.set(None if playing else run.id)
    state.STEPPED_FROM.set(None)
    if not playing and epoch == run.epoch:
        choices.ask("epoch", 1)


def _next(epoch: int) -> None:
    """Ask for the next epoch after `PACE` seconds, not at once: a fragment also runs with its page."""

    @st.fragment(run_every=PACE)
    def tick() -> None:
        if state.STEPPED_FROM.get() == epoch:
            choices.ask("epoch", epoch + 1)
            st.rerun()
        state.STEPPED_FROM.set(epoch)

    tick()
