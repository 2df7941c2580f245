"""Plans of served models that answer the prompts through an endpoint."""

from __future__ import annotations

from harness.plan.entries.cell import EntryCell, entry_cells, size_of
from harness.plan.judging import endpoint_terms
from harness.plan.shared_stages import SharedStages
from harness.plan.stage import Cache, Stage
from harness.spec.entries import Served
from harness.spec.experiment import Experiment


@entry_cells.register
def _(entry: Served, name: str, experiment: Experiment, shared: SharedStages) -> list[EntryCell]:
    terms, limits = endpoint_terms(entry.endpoint)
    terms.pop("temperature", None)  # the decoding's
    size = size_of(f"methods.{name}", entry.size, experiment)
    cells = []
    for seed in experiment.seeds:
        decoding = {**experiment.decoding.model_dump(exclude={"backend", "batch_size"}), "seed": seed}
        parameters = {"model": entry.model, "endpoint": terms, "decoding": decoding, "system": entry.system}
        generate = Stage(
            "generate_endpoint",
            f"generate {name} seed {seed}",
            parameters,
            {"data": shared.prompts, "answers": Cache("judgements")},
            settings={"limits": limits, "entry": name},
        )
        settings = {"model": entry.model, "base_url": entry.endpoint.base_url, "system": entry.system}
        cells.append(EntryCell(name, size, seed, settings, generate=generate, scores={"imported": generate}))
    return cells
