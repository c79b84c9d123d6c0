"""Is the robustness real? Signs of gradient masking and other ways to look robust (Carlini et al. 2019; Athalye et al.
2018; Tramèr et al. 2018), for any network: a robustness figure counts only if none of them is present.

An unsuitable attack fools few images of any network. So each check tries something else, which should fool no more
images than PGD if the gradients are informative.
"""

from collections.abc import Callable
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aat_explore.algorithm.attacks import fgsm, pgd, project, uniform_start
from aat_explore.algorithm.gradients import attacked, input_gradients, l2_norms, pixels, wide
from aat_explore.algorithm.models import StdCNN
from aat_explore.attacks import ResolvedAttack
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.counting import clean_correct, correct_after, num_outputs, robust_correct
from aat_explore.engine.first_layer import with_fast_first_layer
from aat_explore.engine.streams import global_stream
from aat_explore.errors import AATError
from aat_explore.progress import Progress, silent
from aat_explore.records import NOTABLE, SERIOUS, Check, Status, by_accuracy, by_excess
from aat_explore.robustness.autoattack import AutoAttack

STEPS, MORE_STEPS, MORE_RESTARTS = 40, 200, 5
SQUARE_QUERIES = 1000
SURROGATE_EPOCHS = 20
GREY = 0.5  # at this ε any two images can be made the same grey, so accuracy cannot exceed chance


class Trial:
    """A network and the images it is tested on; what several checks share is computed once."""

    def __init__(
        self, network: nn.Module, data: ImageSet, epsilon: float, seed: int, surrogate: nn.Module | None = None
    ) -> None:
        self.network, self.data, self.epsilon, self.seed = network, data, epsilon, seed
        self._surrogate = surrogate

    def pgd_at(self, epsilon: float, *, steps: int = STEPS, restarts: int = 1, among: Tensor | None = None) -> Tensor:
        """Return which images PGD at this ε leaves correct, bool (N,); only those `among`, if given, are attacked."""
        attack = ResolvedAttack("pgd", epsilon, steps, 2.5 * epsilon / steps, random_start=True)
        rows = torch.ones(len(self.data), dtype=torch.bool) if among is None else among.cpu()
        survivors = torch.zeros(len(self.data), dtype=torch.bool)
        survivors[rows] = robust_correct(
            self.network, self._of(rows), attack, restarts=restarts, generator=self.generator()
        ).cpu()
        return survivors

    def _of(self, rows: Tensor) -> ImageSet:
        rows = rows.to(self.data.images.device)
        return ImageSet(self.data.images[rows], self.data.labels[rows])

    def generator(self) -> torch.Generator:
        """Return a new stream for each use, so that no check depends on which others were made."""
        return torch.Generator().manual_seed(self.seed)

    def after(self, perturbed: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> Tensor:
        """Return which images are classified correctly as perturbed, bool (N,), whether right or wrong clean."""
        return correct_after(self.network, self.data, perturbed).cpu()

    @cached_property
    def clean(self) -> Tensor:
        """Which images are classified correctly clean."""
        return clean_correct(self.network, self.data).cpu()

    @cached_property
    def fgsm(self) -> Tensor:
        """Which images are classified correctly after FGSM, whether right or wrong clean."""
        return self.after(partial(fgsm, epsilon=self.epsilon))

    @cached_property
    def pgd(self) -> Tensor:
        """Which images PGD-40 leaves correct."""
        return self.pgd_at(self.epsilon)

    @cached_property
    def num_classes(self) -> int:
        """The number of the network's outputs."""
        return num_outputs(self.network, self.data)

    @cached_property
    def surrogate(self) -> nn.Module:
        """The network to transfer from: the given one, or a StdCNN fitted to these images and labels."""
        if self._surrogate is not None:
            return self._surrogate
        channels, height, width = self.data.images.shape[1:]
        if height != width or height < 16:
            raise AATError(f"images of {height}×{width} are too small or not square for the network to transfer from")
        device = self.data.images.device
        with global_stream(self.seed, "init"):
            plain = StdCNN(in_channels=channels, image_size=height, num_classes=self.num_classes)
            network = with_fast_first_layer(plain).to(device)
            optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
            for _ in range(SURROGATE_EPOCHS):
                for rows in torch.split(torch.randperm(len(self.data)), 64):
                    optimizer.zero_grad()
                    batch = self._of(rows)
                    images, labels = pixels(batch.images), batch.labels
                    F.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
        return network.eval()


def check_robustness(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    seed: int = 0,
    surrogate: nn.Module | None = None,
    progress: Progress = silent,
) -> list[Check]:
    """Look for signs that a network's accuracy under PGD at ε overstates its robustness.

    `network`: any network from pixels in [0, 1] to logits; its state is restored. `images`: (N, C, H, W), float in
    [0, 1] or uint8, about a thousand; `labels`: (N,) int64; both on the network's device. `epsilon`: in (0, 1], ℓ∞.
    `surrogate`: a network to transfer attacks from; by default one is fitted to these images, which takes seconds.
    `progress` counts checks. Raises AATError for invalid images, labels or ε.
    """
    _check_arguments(images, labels, epsilon)
    trial = Trial(network, ImageSet(images, labels), epsilon, seed, surrogate)
    checks: list[Check] = []
    progress(0, len(CHECKS))
    for check in CHECKS:
        checks.append(check(trial))
        progress(len(checks), len(CHECKS))
    return checks


def training_against_test(test: Trial, training: Trial) -> Check:
    """Robust overfitting (Rice, Wong, Kolter 2020): robust on training images only."""
    seen, unseen = _share(training.pgd), _share(test.pgd)
    return Check(
        name="robust overfitting",
        status="warn" if seen - unseen > 0.1 else "pass",
        reason=f"PGD-{STEPS} leaves {seen:.1%} of training and {unseen:.1%} of test images.",
        figures={"training": seen, "test": unseen},
    )


def _check_arguments(images: Tensor, labels: Tensor, epsilon: float) -> None:
    if not 0 < epsilon <= 1:
        raise AATError(
            f"epsilon={epsilon} is not in (0, 1], the range of a pixel; divide by 255 if it is in grey levels"
        )
    if images.ndim != 4 or len(images) == 0 or labels.shape != images.shape[:1]:
        raise AATError(
            f"images of shape {tuple(images.shape)} and labels of shape {tuple(labels.shape)} do not fit; use "
            "(N, C, H, W) and (N,), N ≥ 1"
        )
    if labels.dtype != torch.int64:
        raise AATError(f"labels are {labels.dtype}; convert them with labels.long()")
    if images.dtype != torch.uint8 and not bool(((images >= 0) & (images <= 1)).all()):
        raise AATError("images have pixels outside [0, 1]; divide by 255, and normalise in the network's first layer")


# --- The checks, each from a tested network to a verdict -------------------------------------------------------------


def _collapsed(trial: Trial) -> Check:
    clean, chance = _share(trial.clean), 1 / trial.num_classes
    return Check(
        name="clean accuracy collapsed",
        status=by_accuracy(clean, trial.num_classes),
        reason=f"Clean accuracy is {clean:.1%}; chance is {chance:.0%}.",
        figures={"clean accuracy": clean, "chance": chance},
    )


def _label_leaking(trial: Trial) -> Check:
    after, clean = _share(trial.fgsm), _share(trial.clean)
    return Check(
        name="label leaking",
        status="fail" if after > clean else "pass",
        reason=f"FGSM accuracy is {after:.1%} and clean accuracy {clean:.1%}.",
        figures={"FGSM accuracy": after, "clean accuracy": clean},
    )


def _weaker_than_fgsm(trial: Trial) -> Check:
    under_fgsm, under_pgd = _share(trial.clean & trial.fgsm), _share(trial.pgd)
    missed = int((trial.pgd & ~trial.fgsm).sum())
    return Check(
        name="PGD weaker than FGSM",
        status=by_excess(under_pgd - under_fgsm),
        reason=f"PGD-{STEPS} leaves {under_pgd:.1%} and FGSM, one step of it, {under_fgsm:.1%}; FGSM alone fools "
        f"{missed}.",
        figures={"PGD accuracy": under_pgd, "FGSM accuracy": under_fgsm, "fooled by FGSM alone": missed},
    )


def _not_falling(trial: Trial) -> Check:
    grid = [trial.epsilon * share for share in (0.25, 0.5, 1, 2) if trial.epsilon * share <= 1]
    shares = [_share(trial.pgd if e == trial.epsilon else trial.pgd_at(e, steps=STEPS // 2)) for e in grid]
    rise = max([later - earlier for k, earlier in enumerate(shares) for later in shares[k + 1 :]], default=0.0)
    course = ", ".join(f"{accuracy:.1%} at {epsilon:.3g}" for epsilon, accuracy in zip(grid, shares, strict=True))
    return Check(
        name="accuracy not falling with ε",
        status=by_excess(rise),
        reason=f"Attacked at each ε anew, PGD leaves {course}.",
        figures={f"ε = {epsilon:.3g}": accuracy for epsilon, accuracy in zip(grid, shares, strict=True)},
    )


def _above_chance(trial: Trial) -> Check:
    epsilon = max(GREY, trial.epsilon)
    accuracy, counts = _share(trial.pgd_at(epsilon)), torch.bincount(trial.data.labels.cpu())
    chance = float(counts.max()) / len(trial.data)
    return Check(
        name="accuracy above chance at large ε",
        status=by_excess(accuracy - chance, 0.0, 0.1),
        reason=f"At ε = {epsilon:g}, where every image can be turned into the same grey, PGD-{STEPS} leaves "
        f"{accuracy:.1%}; the commonest class has {chance:.1%}.",
        figures={"PGD accuracy": accuracy, "chance": chance, "ε": epsilon},
    )


def _more_finds_more(trial: Trial) -> Check:
    before = _share(trial.pgd)
    longer = _share(trial.pgd_at(trial.epsilon, steps=MORE_STEPS, among=trial.pgd))
    restarted = _share(trial.pgd_at(trial.epsilon, restarts=MORE_RESTARTS, among=trial.pgd))
    return Check(
        name="more steps or restarts find more",
        status=by_excess(before - min(longer, restarted), NOTABLE, 5 * NOTABLE),
        reason=f"PGD-{STEPS} leaves {before:.1%}, {MORE_STEPS} steps {longer:.1%}, "
        f"{MORE_RESTARTS} restarts {restarted:.1%}.",
        figures={"PGD accuracy": before, f"{MORE_STEPS} steps": longer, f"{MORE_RESTARTS} restarts": restarted},
    )


def _noise(trial: Trial) -> Check:
    def random_signs(_: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        signs = torch.randint(0, 2, images.shape, generator=generator).to(images) * 2 - 1
        return (images + trial.epsilon * signs).clamp(0, 1)

    generator = trial.generator()
    by_noise = int((trial.clean & ~trial.after(random_signs)).sum())
    by_fgsm = int((trial.clean & ~trial.fgsm).sum())
    status: Status = "pass"
    if by_noise >= by_fgsm:
        status = "fail" if by_noise > 0 else "warn"
    elif by_noise > by_fgsm / 2:
        status = "warn"
    return Check(
        name="noise as strong as FGSM",
        status=status,
        reason=f"A step of ε by random signs fools {by_noise} images, one by the gradient's signs {by_fgsm}.",
        figures={"fooled by noise": by_noise, "fooled by FGSM": by_fgsm},
    )


def _another_loss(trial: Trial) -> Check:
    survivors = trial.pgd & trial.after(partial(_margin_pgd, epsilon=trial.epsilon, generator=trial.generator()))
    return _finds_more(
        trial, "another loss finds more", survivors, f"PGD-{STEPS} on the margin of logits instead of the cross-entropy"
    )


def _square(trial: Trial) -> Check:
    name = "Square finds more"
    try:
        attack = AutoAttack(seed=trial.seed, num_classes=trial.num_classes, square_queries=SQUARE_QUERIES)
    except AATError as error:
        return _skipped(name, error)
    survivors = trial.pgd.to(trial.data.labels.device, copy=True)
    attack.attempt("Square", trial.network, trial.data, trial.epsilon, survivors)
    attack_text = f"Square, which asks for no gradient ({SQUARE_QUERIES:,} queries),"
    return _finds_more(trial, name, survivors.cpu(), attack_text)


def _transfer(trial: Trial) -> Check:
    name = "transfer finds more"
    try:
        other = trial.surrogate
    except AATError as error:
        return _skipped(name, error)

    def from_other(_: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return pgd(other, images, labels, epsilon=trial.epsilon, steps=STEPS, generator=generator)

    generator = trial.generator()
    survivors = trial.pgd & trial.after(from_other)
    return _finds_more(trial, name, survivors, f"PGD-{STEPS} on another network, of standard training,")


def _zero_gradients(trial: Trial) -> Check:
    is_zero = torch.cat(
        [
            l2_norms(gradient).cpu() == 0
            for _, gradient, _ in input_gradients(trial.network, trial.data.images, trial.data.labels, batch_size=200)
        ]
    )
    share = _share(is_zero)
    return Check(
        name="zero gradients",
        status=by_excess(share, 0.01, 0.1),
        reason=f"{share:.1%} of the images have an input gradient of exactly 0, along which no attack can step.",
        figures={"share": share},
    )


CHECKS: tuple[Callable[[Trial], Check], ...] = (
    _collapsed, _label_leaking, _zero_gradients, _weaker_than_fgsm, _noise, _not_falling, _above_chance,
    _more_finds_more, _another_loss, _transfer, _square,
)  # fmt: skip


def _finds_more(trial: Trial, name: str, survivors: Tensor, attack_text: str) -> Check:
    """Return the verdict on an attack tried on the images that PGD leaves: PGD missed those that it fools."""
    missed, before, after = int((trial.pgd & ~survivors).sum()), _share(trial.pgd), _share(survivors)
    return Check(
        name=name,
        status=by_excess(before - after, NOTABLE, SERIOUS),
        reason=f"{attack_text} fools {missed} of the images that PGD-{STEPS} leaves: {before:.1%} become {after:.1%}.",
        figures={"PGD accuracy": before, "after both": after, "missed by PGD": missed},
    )


def _skipped(name: str, error: AATError) -> Check:
    return Check(name=name, status="warn", reason=f"Not tried: {error}.", figures={})


def _share(mask: Tensor) -> float:
    return float(mask.double().mean())


def _margin_pgd(
    network: nn.Module, images: Tensor, labels: Tensor, *, epsilon: float, generator: torch.Generator
) -> Tensor:
    """Return the last of 40 PGD iterates that raise maxⱼ≠y zⱼ − z_y, which does not saturate as the cross-entropy does.

    (Carlini and Wagner 2017, f₆.) A row stops moving once it is fooled.
    """
    x_adv = uniform_start(images, epsilon, generator)
    with attacked(network), torch.enable_grad():
        for _ in range(STEPS):
            x = x_adv.detach().requires_grad_()
            logits = wide(network(x))
            is_true_class = F.one_hot(labels, logits.shape[1]).to(logits.device).bool()
            margin = logits.masked_fill(is_true_class, -torch.inf).amax(1) - logits[is_true_class]
            (gradient,) = torch.autograd.grad(margin.sum(), x)
            step = 2.5 * epsilon / STEPS * gradient.sign()
            survives = (margin <= 0).to(x.device)[:, None, None, None]
            x_adv = torch.where(survives, project(x_adv + step, images, epsilon), x_adv)
    return x_adv.detach()
