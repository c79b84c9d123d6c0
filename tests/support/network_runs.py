"""Made-up runs with the weights of a network, for pages that attack it."""

from dataclasses import replace

from synthetic import make_evaluation, make_record

from aat_explore.engine.networks import build_network, weights_of
from aat_explore.presets import preset
from aat_explore.store import Run, Store

LOUD = 2  # by which random weights are multiplied: as they are, all classes are nearly as likely, whatever the image


def make_network_run(
    store: Store, *, epochs: int = 2, committed: int | None = None, evaluated: bool = False, **fields: object
) -> Run:
    """A run of made-up epochs with the weights of a network, another in each epoch, that is sure of what it says."""
    config = preset("mini", epochs=epochs, **fields)
    with store.writer(config) as writer:
        for epoch in range(1, (committed or epochs) + 1):
            network = build_network(config.model_copy(update={"seed": epoch}), (1, 28, 28), 10)
            weights = {name: LOUD * array for name, array in weights_of(network).items()}
            writer.commit(replace(make_record(config, epoch), weights=weights))
        if evaluated:
            writer.add_evaluation(make_evaluation(config, writer.epoch))
    return store.open(config.run_id)
