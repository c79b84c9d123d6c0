"""The built-in scores as values: what each measures and costs, without torch; `algorithm.scores` computes them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ScoreSpec:
    """A built-in score: its equation in plain text, and its cost in passes over T (a forward pass 1, a gradient 2)."""

    equation: str
    passes: int


PAPERS_SCORE = "gradient-norm"
SCORES: dict[str, ScoreSpec] = {
    PAPERS_SCORE: ScoreSpec("‖∇ₓJ‖₂", passes=2),
    "loss": ScoreSpec("J", passes=1),
    "margin": ScoreSpec("σ(max over k≠y of z_k − z_y) of the logits z", passes=1),
}


def of_the_paper() -> str:
    """The paper's score and its equation, for the help."""
    return f"{PAPERS_SCORE}, {SCORES[PAPERS_SCORE].equation}"


def others() -> str:
    """The other built-in scores and their equations, for the help."""
    return "; ".join(f"{name}, {score.equation}" for name, score in SCORES.items() if name != PAPERS_SCORE)
