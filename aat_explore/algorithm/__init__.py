"""The paper's equations as pure functions on tensors: no files, no config, no progress bars."""

from aat_explore.algorithm.attacks import fgsm, mi_fgsm, n_fgsm, pgd, predicted_labels
from aat_explore.algorithm.gradients import gradient_norms
from aat_explore.algorithm.models import ResNet18, StdCNN
from aat_explore.algorithm.sampling import draw, probabilities

__all__ = [
    "ResNet18", "StdCNN", "draw", "fgsm", "gradient_norms", "mi_fgsm", "n_fgsm", "pgd", "predicted_labels",
    "probabilities",
]  # fmt: skip
