"""The paper's equations as pure functions on tensors: no files, no config, no progress bars.

    gradients.py   input gradients and their norms
    scores.py      the scores that p can be made from
    sampling.py    the distribution p, and the draw of K from it
    attacks/       the attacks A of Algorithm 1, one a file
    models.py      StdCNN and ResNet18

Images are (B, C, H, W) in [0, 1] and labels int64 (B,), at every public function.
"""

from aat_explore.algorithm.attacks import fgsm, mi_fgsm, n_fgsm, pgd, predicted_labels
from aat_explore.algorithm.gradients import gradient_norms
from aat_explore.algorithm.models import ResNet18, StdCNN
from aat_explore.algorithm.sampling import draw, probabilities

__all__ = [
    "ResNet18", "StdCNN", "draw", "fgsm", "gradient_norms", "mi_fgsm", "n_fgsm", "pgd", "predicted_labels",
    "probabilities",
]  # fmt: skip
