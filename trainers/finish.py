"""The end of a training run: model card, finished checkpoint, removal of the resumable state."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from trainers.config import TrainConfig, TrainResult, describe
from trainers.model.loading import n_parameters
from trainers.optim.checkpoint import model_card, save_model, state_file
from trainers.optim.loop import Fit
from trainers.optim.sharding import whole_weights
from trainers.optim.verification import TOLERANCE, probe, saved_difference
from trainers.processes import is_first, wait_for_all

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def finish(
    out: Path,
    title: str,
    model: nn.Module,
    tokenizer: PreTrainedTokenizerFast,
    config: TrainConfig,
    fit: Fit,
    facts: Mapping[str, object],
    health: Mapping[str, float],
) -> TrainResult:
    """Write the checkpoint of a finished run with its model card and remove the run's state.

    The checkpoint is loaded and compared with the model in memory before it is moved into its place
    (`trainers.optim.verification`), unless the configuration switches this off. Weights that were quantised in training
    are saved in full; their difference is reported and not bounded.

    Where several processes share the policy, each of them calls this and the first one writes.

    Parameters
    ----------
    out : Path
        Folder of the checkpoint.
    title : str
        Heading of the model card.
    facts : mapping
        What the model was made from; the card adds size, hyperparameters, cost and `health`.
    health : mapping of str to float
        Figures about the trained model and its data. The result adds ``saved_difference``, in nats per token.

    Raises
    ------
    ValueError
        If the saved checkpoint is another model than the one in memory, or has another tokenizer.
    """
    expected = probe(model) if config.verify_checkpoint else None
    quantised = config.lora is not None and config.lora.bits is not None
    figures = dict(health)

    def verify(folder: Path) -> None:
        if expected is None:
            return
        difference = figures["saved_difference"] = saved_difference(folder, expected, tokenizer)
        if not (quantised or difference <= TOLERANCE):
            raise ValueError(
                f"{out}: the saved checkpoint differs from the trained model by {difference:.3g} nats on a token; "
                "training.verify_checkpoint: false saves it all the same"
            )

    card = {
        **facts,
        "parameters": n_parameters(model),
        "hyperparameters": describe(config),
        "steps": fit.step,
        "tokens": fit.tokens,
        "seconds": round(fit.seconds, 1),
        "health": {name: f"{value:.4g}" for name, value in health.items()},
    }
    weights = whole_weights(model) if config.sharding else None
    if is_first():
        save_model(out, model, tokenizer, model_card(title, card), weights, verify)
        state_file(out).unlink(missing_ok=True)
    wait_for_all()
    return TrainResult(out, fit.seconds, fit.tokens, fit.step, fit.curve, figures)
