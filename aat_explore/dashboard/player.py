"""One epoch slider, with buttons to step and to play; the same on every page that shows an epoch."""

import streamlit as st

from aat_explore.dashboard import choices, state
from aat_explore.store import Run

PACE = 0.8  # seconds an epoch when playing: longer than a page of 200 images takes


def choose_epoch(run: Run) -> int:
    """The epoch in the URL's `epoch`, else the last; beyond the run's end means the last."""
    if run.epoch == 1:
        return choices.epoch_slider(run)
    buttons, slider = st.columns([3, 5], vertical_alignment="bottom")
    with slider:
        epoch = choices.epoch_slider(run)
    if epoch == run.epoch:
        state.PLAYING.set(None)  # played to the end: a step back is no wish to play again
    playing = state.PLAYING.get() == run.id
    with buttons, st.container(horizontal=True, gap="xxsmall"):
        _button("arrow_back", "Previous epoch (Shift+←)", "Shift+Left", epoch == 1, epoch - 1)
        st.button(
            "Pause" if playing else "Play",
            help="Pause (P)" if playing else "Play the epochs (P); from the first, if this is the last",
            shortcut="P",
            key="play",
            on_click=_play,
            args=(run, epoch, playing),
        )
        _button("arrow_forward", "Next epoch (Shift+→)", "Shift+Right", epoch == run.epoch, epoch + 1)
    if playing:
        _next(epoch)
    return epoch


def _button(icon: str, words: str, shortcut: str, disabled: bool, epoch: int) -> None:
    st.button(
        f":material/{icon}:",
        help=words,
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
    """Ask for the next epoch after `PACE` seconds; a fragment runs at once, too, with the page that it is on."""

    @st.fragment(run_every=PACE)
    def tick() -> None:
        if state.STEPPED_FROM.get() == epoch:
            choices.ask("epoch", epoch + 1)
            st.rerun()
        state.STEPPED_FROM.set(epoch)

    tick()
