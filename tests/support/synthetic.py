"""Small made-up records, for tests of the store and of what reads it; no torch."""

import hashlib
import io
import json

import numpy as np
import pandas as pd

from aat_explore.config import RunConfig
from aat_explore.presets import preset
from aat_explore.records import Check, CheckReport, EpochMetrics, EpochRecord, Evaluation
from aat_explore.store import Run, Store


def make_record(config: RunConfig, epoch: int, num_train: int = 5000) -> EpochRecord:
    """An epoch in which the same p is drawn from with another stream each time, so that every epoch differs."""
    rng = np.random.default_rng([config.seed, epoch])
    if config.num_perturbed == "all":
        probabilities, drawn = None, np.arange(num_train)
    elif config.num_perturbed == 0:
        probabilities, drawn = None, np.arange(0)
    else:
        norms = rng.gamma(0.3, size=num_train) ** config.norm_power
        probabilities = norms / norms.sum()
        drawn = rng.choice(num_train, config.num_perturbed, replace=False, p=probabilities)
    shown = drawn[: config.num_recorded]
    n = len(drawn)
    metrics = EpochMetrics(
        epoch=epoch, lr=config.lr, loss=1 / epoch, loss_drawn=2 / epoch if n else None,
        loss_rest=0.9 / epoch if n < num_train else None, clean_accuracy_val=0.9 - 0.3 / epoch,
        clean_accuracy_attacked=0.88 - 0.3 / epoch, fgsm_accuracy_val=0.3, robust_accuracy_val=0.2 * n / num_train,
        num_drawn=n, shortfall=0,
        sum_scores=None if probabilities is None else 123.0, seconds_scoring=0.5, seconds_draw=0.1,
        seconds_perturb=0.1, seconds_train=1.0, seconds_validate=0.2, seconds_record=0.01, device="cpu", num_threads=2,
    )  # fmt: skip
    return EpochRecord(
        metrics=metrics,
        probabilities=None if probabilities is None else probabilities.astype(np.float32),
        drawn=drawn.astype(np.int32),
        x_adv=rng.integers(0, 256, (len(shown), 1, 28, 28), dtype=np.uint8),
        recorded_losses=rng.gamma(1.0, size=(len(shown), 2)).astype(np.float32),
        recorded_classes=rng.integers(0, 10, (len(shown), 2), dtype=np.int32),
        weights={"layer.weight": rng.normal(size=(3, 2)).astype(np.float32)},
        training_state={"optimizer.0.step": np.array([epoch], dtype=np.float32)},
        scores={} if probabilities is None else make_scores(rng, num_train),
    )


def make_scores(rng: np.random.Generator, num_train: int) -> dict[str, np.ndarray]:
    """Made-up scores of all samples: loss and gradient-norm fit no float16."""
    spread = {"loss": rng.gamma(0.3, size=num_train), "gradient-norm": rng.gamma(0.1, size=num_train)}
    narrow = {"margin": rng.uniform(0.01, 1, num_train), "entropy": rng.uniform(0.01, 2.3, num_train)}
    return {name: values.astype(np.float32) for name, values in (spread | narrow).items()}


def make_evaluation(config: RunConfig, epoch: int, **fields: object) -> Evaluation:
    grid = tuple(round(0.05 * k, 2) for k in range(9))
    num_correct = tuple(int(1700 * np.exp(-8 * e)) for e in grid)
    values = {
        "epoch": epoch, "split": "test", "num_images": 2000,
        "attack": {"kind": "pgd", "steps": 40, "step_size": None, "restarts": 1, "random_start": True},
        "epsilons": grid, "num_correct": num_correct, "seed": 0, "seconds": 1.5, "model_digest": "0" * 64,
        "device": "cpu", "num_threads": 2, "versions": {"torch": "0"}, "created": f"2026-01-01T00:00:{epoch:02d}Z",
    }  # fmt: skip
    return Evaluation.model_validate(values | fields)


def make_report(config: RunConfig, epoch: int, checks: tuple[Check, ...], **fields: object) -> CheckReport:
    values = {
        "epoch": epoch, "epsilon": config.epsilon, "num_images": 1000, "checks": checks, "seed": 0, "seconds": 1.5,
        "model_digest": "0" * 64, "device": "cpu", "num_threads": 2, "versions": {"torch": "0"},
        "created": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    return CheckReport.model_validate(values | fields)


def make_run(
    store: Store,
    *,
    epochs: int = 4,
    committed: int | None = None,
    evaluated: bool = True,
    num_train: int = 5000,
    **fields: object,
) -> Run:
    """Write a run of made-up epochs through the store and open it."""
    config = preset("mini", epochs=epochs, **fields)
    with store.writer(config) as writer:
        for epoch in range(writer.epoch + 1, (epochs if committed is None else committed) + 1):
            writer.commit(make_record(config, epoch, num_train))
        if evaluated:
            writer.add_evaluation(make_evaluation(config, writer.epoch))
    return store.open(config.run_id)


def rewrite(run: Run, name: str, content: bytes | pd.DataFrame | dict[str, object]) -> Run:
    """Put another file, frame or JSON record in a file's place, listed by its true digest, as a writer might have."""
    if isinstance(content, pd.DataFrame):
        buffer = io.BytesIO()
        content.to_parquet(buffer, index=False)
        content = buffer.getvalue()
    elif isinstance(content, dict):
        content = json.dumps(content).encode()
    (run.path / name).write_bytes(content)
    head = json.loads((run.path / "HEAD.json").read_text())
    head["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (run.path / "HEAD.json").write_text(json.dumps(head))
    return Run(run.path)
