"""`aat embed`: a run's network as a map of its training samples."""

import dataclasses
from typing import Annotated, Literal

import tyro

from aat_explore.cli.console import Console
from aat_explore.cli.flags import Command, Json, PlaceFlags, RunId, Where


@dataclasses.dataclass
class Embed(Command):
    """Place all training samples in the plane by a network's last hidden layer, for the map on the Picks page."""

    run_id: RunId
    method: Annotated[
        Literal["pca", "umap"],
        tyro.conf.arg(help="Principal components, or UMAP: slower, and keeps more neighbours (needs umap-learn)."),
    ] = "pca"
    place: Where = dataclasses.field(default_factory=PlaceFlags)
    json: Json = False

    def run(self) -> int:
        """Embed the samples of a run and say where the result is."""
        from aat_explore.cli.output import json_text
        from aat_explore.store import Store

        run = Store(self.place.cache_dir).named(self.run_id)  # reports a wrong name before torch is loaded
        from aat_explore.experiments import embedding

        console = Console(stderr=self.json)
        with console.status("one pass over all training samples"):
            result = embedding.embed(run.id, self.method, **self.place.arguments())
        if self.json:
            fields = {"method": self.method, "epoch": result.epoch, "samples": len(result.points)}
            print(json_text(fields | {"shares": result.shares, "path": str(result.path)}))
            return 0
        text = f"{len(result.points):,} samples by the network after epoch {result.epoch}"
        if result.shares is not None:
            text += f"; the two components hold {sum(result.shares):.0%} of the hidden layer's variance"
        for line in (text, f"in {result.path}"):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        return 0
