"""The attacks A of Algorithm 1 as functions of (network, images, labels), one per file.

All leave the network unchanged and return x′ (B, C, H, W) with pixels in [0, 1]; all but N-FGSM keep ‖x′ − x‖∞ ≤ ε (to
1e-6). `aat_explore.attacks` is the registry that names them.

    ball.py       the ball and the box: starts, steps, projection
    fgsm.py       FGSM
    pgd.py        PGD
    n_fgsm.py     N-FGSM
    mi_fgsm.py    MI-FGSM
"""

from aat_explore.algorithm.attacks.ball import check_epsilon, move, predicted_labels, project, uniform_start
from aat_explore.algorithm.attacks.fgsm import fgsm
from aat_explore.algorithm.attacks.mi_fgsm import mi_fgsm
from aat_explore.algorithm.attacks.n_fgsm import n_fgsm
from aat_explore.algorithm.attacks.pgd import pgd, pgd_step

__all__ = [
    "check_epsilon", "fgsm", "mi_fgsm", "move", "n_fgsm", "pgd", "pgd_step", "predicted_labels", "project",
    "uniform_start",
]  # fmt: skip
