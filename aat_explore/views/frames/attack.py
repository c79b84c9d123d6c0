"""One sample under attack: losses, class probabilities and signs of gradient masking.

`attack_lab`, which needs torch, runs the attacks; this module turns their numbers into frames.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageOps

from aat_explore.attacks import REGISTRY as ATTACKS
from aat_explore.attacks import Options, spec_of
from aat_explore.budgets import epsilon_text
from aat_explore.config import RunConfig
from aat_explore.errors import AATError
from aat_explore.views import pixels
from aat_explore.views.protocols import UInt8

MARGIN = 0.05  # our threshold for a sign of gradient masking: nats, and share of the rise in loss
FLAT = 0.01  # our threshold: nats that ε adds to the loss to first order; below it the gradient counts as near zero
MAX_STEPS = 100  # of PGD, the most that a slider offers
UPLOAD_BYTES = 5_000_000
UPLOAD_PIXELS = 25_000_000
SHOWN = 250  # approximate size of an image on the screen, in pixels

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Attempt:
    """An attack to try on one sample: `kind` in `attacks.REGISTRY` or `package.module:name`, `epsilon` in [0, 1].

    `factor` and `random_start` apply to PGD, whose step is `factor`·ε/steps. FGSM is the paper's, from the clean image.
    """

    kind: str
    epsilon: float
    steps: int
    factor: float = 2.5
    random_start: bool = True
    seed: int = 0
    options: Options = ()

    @property
    def title(self) -> str:
        """The attack's name, e.g. `FGSM`; AATError for an unknown one."""
        return spec_of(self.kind).title

    @property
    def iterates(self) -> bool:
        """Whether the attack uses `steps`."""
        return spec_of(self.kind).steps is not None

    @property
    def step_size(self) -> float:
        """PGD's step α in pixel units."""
        return self.factor * self.epsilon / self.steps


@dataclass(frozen=True)
class Attacked:
    """The result of an attempt on one sample, and the losses (nats, for class `label`) around it.

    `clean`, `x_adv`: float32 (C, H, W) in [0, 1]. `before`, `after`: their class probabilities, (K,). `epsilons`: (G,)
    from 0 to 2ε, with ε in the middle. `losses`: (G,) at each of them, by kind of attack: FGSM, PGD and the attempt's.
    `step_losses`: (steps + 1,) along PGD at ε, from its start. `loss_other_start`: the loss of PGD at ε from the other
    start (from the image if the attempt starts at random, and vice versa). `gradient_l1`: ‖∇ₓJ‖₁ at the clean image.
    `gradient_zeros`: the share of the gradient's entries that are 0.
    """

    attempt: Attempt
    clean: NDArray[np.float32]
    x_adv: NDArray[np.float32]
    label: int
    before: Floats
    after: Floats
    epsilons: Floats
    losses: Mapping[str, Floats]
    step_losses: Floats
    loss_other_start: float
    gradient_l1: float
    gradient_zeros: float

    @property
    def fgsm_losses(self) -> Floats:
        """Losses of FGSM at each ε, (G,)."""
        return self.losses["fgsm"]

    @property
    def pgd_losses(self) -> Floats:
        """Losses of PGD at each ε, (G,)."""
        return self.losses["pgd"]

    @property
    def loss(self) -> float:
        """The loss that the attempt reaches at ε."""
        return float(self.losses[self.attempt.kind][self.at_epsilon])

    @property
    def at_epsilon(self) -> int:
        """Position of ε in `epsilons`."""
        return len(self.epsilons) // 2

    @property
    def largest_change(self) -> float:
        """‖x′ − x‖∞."""
        return float(np.abs(self.x_adv.astype(np.float64) - self.clean).max())


@dataclass(frozen=True)
class Sign:
    """One sign of gradient masking: whether it is present, and the numbers behind that."""

    name: str
    seen: bool
    finding: str


# --- Choices ---------------------------------------------------------------------------------------------------------


def attacks_offered(config: RunConfig) -> dict[str, str]:
    """The attacks to try on a run's network, title → kind: the registered ones, and the run's custom attack if any."""
    trained = config.resolved_attack.spec
    return {spec.title: spec.kind for spec in (*ATTACKS.values(), *([trained] if trained.custom else []))}


def epsilon_range(config: RunConfig) -> tuple[float, float, float, float]:
    """Lowest, highest and default ε of a slider, and its step; the default is the training ε."""
    step = 0.001 if 0 < config.epsilon <= 0.05 else 0.005
    high = 0.1 if step == 0.001 else 0.5 if config.epsilon <= 0.5 else 1.0
    return step, high, max(config.epsilon, step), step


def uploaded(content: bytes, shape: tuple[int, int, int], *, invert: bool = False) -> tuple[UInt8, str]:
    """A PNG or JPEG as an image of the data set's shape, uint8 (C, H, W), and a description of what was done to it.

    The central square is cropped and resized; transparent pixels become black. AATError for other formats and for files
    or images that are too large.
    """
    if len(content) > UPLOAD_BYTES:
        raise AATError(f"the file has {len(content):,} bytes; choose one of at most {UPLOAD_BYTES:,}")
    try:
        image = Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
        if image.width * image.height <= UPLOAD_PIXELS:
            image.load()
            rgba = _eight_bits(ImageOps.exif_transpose(image)).convert("RGBA")
    except Exception:  # Pillow raises many kinds of errors for malformed files
        raise AATError("the file is not a readable PNG or JPEG; choose another, or save it again") from None
    if image.width * image.height > UPLOAD_PIXELS:
        raise AATError(
            f"the image has {image.width:,} × {image.height:,} pixels; choose one of at most {UPLOAD_PIXELS:,}"
        )
    channels, height, width = shape
    mode = "L" if channels == 1 else "RGB"
    flat = Image.alpha_composite(Image.new("RGBA", rgba.size, "black"), rgba).convert(mode)
    side = min(flat.size)
    fitted = np.asarray(ImageOps.fit(flat, (width, height), Image.Resampling.BOX))
    image_pixels = fitted[None] if channels == 1 else fitted.transpose(2, 0, 1)
    changes = [
        f"{image.width} × {image.height} pixels",
        *([f"cropped to the central {side} × {side}"] if flat.width != flat.height else []),
        *([f"resized to {width} × {height}"] if side != width else []),
        *(["converted to grey"] if channels == 1 and image.mode not in ("L", "1") else []),
        *(["transparency filled with black"] if np.asarray(rgba)[..., 3].min() < 255 else []),
        *(["inverted"] if invert else []),
    ]
    return np.ascontiguousarray(255 - image_pixels if invert else image_pixels), ", ".join(changes)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit images to 8 bits; Pillow itself would clip them at 255."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.int64) // 257).clip(0, 255).astype(np.uint8))


# --- Pictures --------------------------------------------------------------------------------------------------------


def eight_bits(image: NDArray[np.float32]) -> UInt8:
    """An image in [0, 1], rounded to 8 bits: uint8 of the same shape."""
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def enlarged(image: NDArray[np.float32]) -> UInt8:
    """An image (C, H, W) in [0, 1], rounded to 8 bits and enlarged s times, s whole: uint8 (H·s, W·s, 3)."""
    return pixels.enlarged(eight_bits(image), max(1, SHOWN // image.shape[-1]))


def pictures(result: Attacked) -> dict[str, UInt8]:
    """`clean` and `adversarial`, uint8 (1, C, H, W), and `difference` by `pixels.signed`, uint8 (1, 3, H, W)."""
    return {
        "clean": eight_bits(result.clean)[None],
        "adversarial": eight_bits(result.x_adv)[None],
        "difference": pixels.signed(result.x_adv - result.clean, result.attempt.epsilon)[None],
    }


# --- Frames ----------------------------------------------------------------------------------------------------------


def attacked_classes(result: Attacked, class_names: Sequence[str]) -> pd.DataFrame:
    """Class probabilities before and after: label, class, image (`clean` or `adversarial`), probability."""
    parts = [
        pd.DataFrame({"label": range(len(p)), "class": list(class_names), "image": image, "probability": p})
        for image, p in (("clean", result.before), ("adversarial", result.after))
    ]
    return pd.concat(parts, ignore_index=True)


def predictions(result: Attacked, class_names: Sequence[str]) -> dict[str, tuple[str, float]]:
    """Predicted class and its probability for the `clean` and the `adversarial` image."""
    return {
        image: (class_names[int(p.argmax())], float(p.max()))
        for image, p in (("clean", result.before), ("adversarial", result.after))
    }


def loss_along_epsilon(result: Attacked) -> pd.DataFrame:
    """Losses on a grid of ε from 0 to twice the chosen ε: epsilon, attack (its title), loss, chosen."""
    parts = [
        pd.DataFrame({"epsilon": result.epsilons, "attack": spec_of(kind).title, "loss": losses})
        for kind, losses in result.losses.items()
    ]
    return pd.concat(parts, ignore_index=True).assign(chosen=result.attempt.epsilon)


def loss_along_steps(result: Attacked) -> pd.DataFrame:
    """Loss after each step of PGD at ε: step (0: the start), loss, and fgsm, the loss of FGSM at the same ε."""
    fgsm = result.fgsm_losses[result.at_epsilon]
    return pd.DataFrame({"step": range(len(result.step_losses)), "loss": result.step_losses, "fgsm": fgsm})


# --- Gradient masking ------------------------------------------------------------------------------------------------


def masking_signs(result: Attacked) -> list[Sign]:
    """Signs of gradient masking on one sample (Athalye et al. 2018; Carlini et al. 2019; Tramèr et al. 2018).

    None of them is proof, and neither is their absence: a sign says that these attacks may have missed adversarial
    examples that exist.
    """
    return [_weaker_pgd(result), _falling_loss(result), _flat_gradient(result), _start_needed(result)]


def _weaker_pgd(result: Attacked) -> Sign:
    at, clean = result.at_epsilon, result.fgsm_losses[0]
    fgsm, pgd = result.fgsm_losses[at], result.pgd_losses[at]
    seen = _clearly(fgsm - pgd, of=fgsm - clean)
    return Sign(
        "PGD is weaker than FGSM",
        seen,
        f"at ε the loss is {pgd:.3g} under PGD and {fgsm:.3g} under FGSM, a single large step",
    )


def _falling_loss(result: Attacked) -> Sign:
    """Only up to ε: far beyond it most pixels are clipped, and the loss of any network may fall."""
    losses, epsilons = result.fgsm_losses[: result.at_epsilon + 1], result.epsilons
    falls = np.maximum.accumulate(losses) - losses
    end = int(falls.argmax())
    top = int(losses[: end + 1].argmax())
    finding = "along the FGSM direction it does not fall up to ε"
    if end > top:
        finding = (
            f"along the FGSM direction it is {losses[top]:.3g} at ε = {epsilon_text(epsilons[top])} and "
            f"{losses[end]:.3g} at {epsilon_text(epsilons[end])}"
        )
    return Sign("The loss falls again as ε grows", _clearly(falls[end], of=losses[top] - losses[0]), finding)


def _flat_gradient(result: Attacked) -> Sign:
    reach = result.attempt.epsilon * result.gradient_l1
    return Sign(
        "The input gradient is zero or near zero",
        reach < FLAT,
        f"to first order ε adds {reach:.3g} to the loss (ε‖∇ₓJ‖₁); {result.gradient_zeros:.0%} of the gradient's "
        "entries are exactly 0",
    )


def _start_needed(result: Attacked) -> Sign:
    chosen, other, clean = result.pgd_losses[result.at_epsilon], result.loss_other_start, result.fgsm_losses[0]
    at_random, at_image = (chosen, other) if result.attempt.random_start else (other, chosen)
    seen = bool(at_random - at_image > MARGIN and at_image - clean < (at_random - clean) / 2)
    return Sign(
        "PGD needs a random start",
        seen,
        f"PGD reaches {at_random:.3g} from a random start and {at_image:.3g} from the image itself",
    )


def _clearly(difference: Any, *, of: Any) -> bool:
    """Whether a difference of losses exceeds what rounding and an attack's last steps explain."""
    return bool(difference > MARGIN and difference > MARGIN * of)
