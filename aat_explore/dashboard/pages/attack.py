"""One sample attacked live: what changes, what the network then predicts, and whether the attack can be trusted.

The only page that needs torch, which is loaded when the page is first shown.
"""

import hashlib
from functools import partial
from typing import Any

import streamlit as st

from aat_explore.budgets import epsilon_text
from aat_explore.dashboard import choices, context, downloads, page, pictures
from aat_explore.datasets import Dataset, Split
from aat_explore.store import Run
from aat_explore.views import charts, frames, pixels
from aat_explore.views.protocols import UInt8

TRAINING, TEST, UPLOAD = SAMPLES = ("training image", "test image", "upload")
DEFAULT_STEPS = {"StdCNN": 20}  # 75 ms on one core of an AMD EPYC
STEPS = 10  # for other networks: 4 s with ResNet18
DEFAULT_FACTOR = 2.5

Sample = tuple[UInt8, int | None, str]  # pixels (C, H, W), the true label if known, and a key


def show() -> None:
    """Choose a network, a sample and an attack; see what it does, and the signs of gradient masking."""
    page.heading(
        "Attack lab",
        "One image under an attack of your choice: what is added to it, what the network then predicts, and how its "
        "loss J rises with ε and with each step.",
        r"x' = \mathrm{clip}\left(x + \varepsilon\,\mathrm{sign}\,\nabla_x J(\theta, x, y)\right),\qquad "
        r"x' \leftarrow \Pi_\varepsilon\left(x' + \alpha\,\mathrm{sign}\,\nabla_{x} J(\theta, x', y)\right)",
        "Left FGSM, right a step of PGD: Π projects onto the images within ε of x and within [0, 1], the range of a "
        "pixel. J is the cross-entropy of the true class, in nats, or of the predicted class for an image that you "
        "upload. FGSM is one step of PGD of size ε from the image itself.",
    )
    run = context.choose_run(page.ticked_runs(), prefer=page.can_be_attacked)
    dataset = page.dataset_of(run)
    if dataset is None:
        st.info("The lab needs them to build the network and for images to attack. Choose another run.")
        return
    checkpoints = [str(epoch) for epoch in reversed(run.checkpoints())]
    if not checkpoints:
        st.info("This run has saved no weights yet, so there is no network to attack. Choose another run.")
        return
    with st.sidebar:
        sample = _choose_sample(run, dataset)
        attempt = _choose_attack(run)
        epoch = int(
            choices.choose("Weights after epoch", checkpoints, "checkpoint", help="Epochs whose weights are saved.")
        )
    if sample is None:
        st.info("Choose a PNG or JPEG in the sidebar; its central square is resized to the data set's image size.")
        return
    result = _attack(run, dataset, epoch, sample, attempt)
    left, right = st.columns([1.7, 1])
    with left:
        _say_outcome(result, dataset)
        _pictures(result)
    with right:
        _class_chart(result, dataset, run)
    _curves(result, run)
    _signs(result)


# --- Choices -------------------------------------------------------------------------------------------------------


def _choose_sample(run: Run, dataset: Dataset) -> Sample | None:
    kind = choices.switch("Sample", SAMPLES, "sample")
    if kind == UPLOAD:
        return _upload(dataset)
    split, key = (dataset.train, "image") if kind == TRAINING else (dataset.test, "test_image")
    last = len(split) - 1
    first = page.remembered(frames.recorded.first_fooled, run, dataset) if kind == TRAINING else 0
    row = choices.whole(f"Row of the {kind}, 0 to {last:,}", 0, last, min(first, last), key, always=True)
    if kind == TRAINING and st.button("This image over all epochs", icon=":material/timeline:", type="tertiary"):
        page.open_page("sample", run=run.id, image=row)
    return _row_of(split, row), int(split.labels[row]), f"{kind} {row}"


def _row_of(split: Split, row: int) -> UInt8:
    image: UInt8 = split.images(slice(row, row + 1))[0]
    return image


def _upload(dataset: Dataset) -> Sample | None:
    file = st.file_uploader(
        "Upload an image",
        type=["png", "jpg", "jpeg"],
        max_upload_size=frames.attack.UPLOAD_BYTES // 1_000_000,
        help="PNG or JPEG. It stays in this browser tab's session: neither the cache nor the link contains it.",
    )
    invert = choices.toggle("Invert: dark strokes on white paper become light on black", "invert")
    if file is None:
        return None
    content = file.getvalue()
    image, done = frames.attack.uploaded(content, dataset.image_shape, invert=invert)
    st.caption(
        f"What was done to it: {done}. Its true class is unknown, so the attack raises the loss of the predicted one."
    )
    return image, None, f"upload {hashlib.sha256(content).hexdigest()} {invert}"


def _choose_attack(run: Run) -> frames.attack.Attempt:
    low, high, default, step = frames.attack.epsilon_range(run.config)
    trained = run.config.resolved_attack
    offered = frames.attack.attacks_offered(run.config)
    kind = offered[choices.switch("Attack", tuple(offered), "attack")]
    epsilon = choices.number(
        "ε", low, high, default, "eps", step=step, help=f"The largest change of a pixel; {default:g} in training.",
        format="%.3f",
    )  # fmt: skip
    steps = choices.number(
        "Steps of PGD and MI-FGSM",
        1,
        frames.attack.MAX_STEPS,
        trained.steps if trained.spec.steps is not None else DEFAULT_STEPS.get(run.config.model, STEPS),
        "steps",
        help="The curves show PGD whatever attack is chosen.",
    )
    factor = choices.number(
        "PGD's step size α, times ε/steps", 0.5, 10.0, DEFAULT_FACTOR, "alpha", step=0.5, help="Default: 2.5 ε/steps"
    )
    start = choices.toggle("PGD: start at a random point within ε", "random", default=True)
    seed = choices.whole("Seed of the random start", 0, 2**31 - 1, 0, "attack_seed") if start else 0
    options = trained.options if kind == trained.kind else ()
    return frames.attack.Attempt(kind, epsilon, steps, factor, start, seed, options)


# --- The attack ----------------------------------------------------------------------------------------------------


def _attack(
    run: Run, dataset: Dataset, epoch: int, sample: Sample, attempt: frames.attack.Attempt
) -> frames.attack.Attacked:
    with st.spinner("Loading PyTorch and the network …", show_time=True):
        network = _network((run.id, run.revision, epoch), run, dataset)
    image, label, name = sample
    return _attacked((run.id, run.revision, epoch, name), attempt, network, image, label)


@st.cache_resource(max_entries=2, show_spinner=False)
def _network(key: tuple[str, str, int], _run: Run, _dataset: Dataset) -> Any:
    from aat_explore.experiments import lab as attack_lab

    return attack_lab.frozen_network(_run, _dataset, key[-1])


@st.cache_data(max_entries=32, show_spinner="Attacking …")
def _attacked(
    key: tuple[str, str, int, str], attempt: frames.attack.Attempt, _network: Any, _image: UInt8, _label: int | None
) -> frames.attack.Attacked:
    from aat_explore.experiments import lab as attack_lab

    return attack_lab.attack(_network, _image, _label, attempt)


# --- The outcome ---------------------------------------------------------------------------------------------------


def _say_outcome(result: frames.attack.Attacked, dataset: Dataset) -> None:
    predictions = frames.attack.predictions(result, dataset.class_names)
    attempt = result.attempt
    columns = st.columns(4)
    columns[0].metric("Class attacked", page.plain(dataset.class_names[result.label]))
    for column, image in zip(columns[1:], ("clean", "adversarial"), strict=False):
        name, confidence = predictions[image]
        column.metric(f"Predicted, {image}", page.plain(name), f"{100 * confidence:.1f}%", "off", delta_arrow="off")
    columns[3].metric(
        "Loss, adversarial",
        f"{result.loss:.3g}",
        f"{result.fgsm_losses[0]:.3g} clean",
        "off",
        delta_arrow="off",
        help="J in nats, of the class attacked",
    )
    steps = f", {attempt.steps} steps" if attempt.iterates else ""
    size = f" of α = {attempt.step_size:.3g}" if attempt.kind == "pgd" else ""
    attack = f"{page.plain(attempt.title)}{steps}{size}, ε = {epsilon_text(attempt.epsilon)}"
    st.caption(f"{attack}; the largest change of a pixel is {result.largest_change:.4g}.")


def _pictures(result: frames.attack.Attacked) -> None:
    shown = [
        pictures.Picture(
            pixels.meaning(len(result.clean)) if name == "difference" else name, f"The {name} image", image[0]
        )
        for name, image in frames.attack.pictures(result).items()
    ]
    pictures.row(shown, most=260)


def _class_chart(result: frames.attack.Attacked, dataset: Dataset, run: Run) -> None:
    classes = frames.attack.attacked_classes(result, dataset.class_names)
    st.caption("**Class probabilities**, clean and under attack")
    downloads.chart(
        partial(charts.attack.attacked_classes, classes, dark=page.dark()),
        classes,
        f"{run.id}-attacked-classes",
        alt="Probability of each class on the clean and on the adversarial image",
        height=340,
    )


def _curves(result: frames.attack.Attacked, run: Run) -> None:
    left, right = st.columns(2)
    with left:
        st.caption("**Loss along ε**")
        along = frames.attack.loss_along_epsilon(result)
        downloads.chart(
            partial(charts.attack.loss_along_epsilon, along),
            along,
            f"{run.id}-loss-along-epsilon",
            alt="Loss of each attack against ε, from 0 to twice the chosen ε",
            height=230,
        )
    with right:
        st.caption("**Loss along PGD's steps**")
        steps = frames.attack.loss_along_steps(result)
        downloads.chart(
            partial(charts.attack.loss_along_steps, steps, dark=page.dark()),
            steps,
            f"{run.id}-loss-along-steps",
            alt="Loss after each step of PGD, with FGSM's for comparison",
            height=230,
        )


def _signs(result: frames.attack.Attacked) -> None:
    signs = frames.attack.masking_signs(result)
    seen = sum(sign.seen for sign in signs)
    st.write(
        f"**Signs of gradient masking**: {seen} of {len(signs)} seen on this sample. They are signs, not proof, that "
        "the network is less robust than these attacks make it look. Seeing none is no proof of robustness either."
    )
    for sign in signs:
        icon = ":orange[:material/flag:]" if sign.seen else ":material/remove:"
        word = "**Seen**" if sign.seen else "Not seen"
        st.markdown(f"{icon} {word}: {sign.name}. *Here, {page.plain(sign.finding)}.*")
    margin = frames.attack.MARGIN
    with st.expander("Where these signs come from", icon=":material/menu_book:"):
        st.write(
            "Athalye, Carlini, Wagner 2018, *Obfuscated Gradients Give a False Sense of Security*: one step does "
            "better than many, and a larger ε does not help. Carlini et al. 2019, *On Evaluating Adversarial "
            "Robustness*: gradients that are zero. Tramèr et al. 2018, *Ensemble Adversarial Training*: a loss that "
            "is flat or bent close to the image, which a random start steps over. The thresholds are ours: "
            f"a difference counts if it exceeds {margin:g} nats and {margin:.0%} of the loss's rise; a "
            "fall counts up to the chosen ε; a random start is needed if PGD from the image itself reaches less "
            f"than half of the rise; and a gradient is near zero if ε‖∇ₓJ‖₁ < {frames.attack.FLAT:g} nats. A network "
            "that is very confident about a clean image has near-zero gradients too; their sign still serves FGSM."
        )
