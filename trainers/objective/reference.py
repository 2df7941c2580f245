"""Reference log-probabilities: computed once for a base and data set, shared by every run on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from trainers.config import TrainConfig
from trainers.data.encoded import Encoded, ranges
from trainers.data.encoding import Limits, encode_preferences
from trainers.data.records import Example, Pair, ResponseGroup, read_preferences
from trainers.data.tokenizer import load_tokenizer
from trainers.files import replacing
from trainers.model.loading import context_length, layout_for, load, weights_hash
from trainers.model.packing import Layout
from trainers.model.response_logprobs import score_all, score_tokens

METADATA = b"prefrontier.reference"
MISMATCHED = "mismatched"


def reference_logps(
    checkpoint: str | Path,
    data: str | Path | Sequence[Pair] | Sequence[Example] | Sequence[ResponseGroup],
    config: TrainConfig,
    out: str | Path,
    token_level: bool = False,
) -> Path:
    """Score every response of a data set, and one mismatched response per prompt, under a frozen model.

    Parameters
    ----------
    checkpoint : path or hub id
        The reference model; its tokenizer is the one that is used.
    data : path, hub id or records
    config : TrainConfig
        Only what decides the numbers is used: limits, precision, device, micro-batch size.
    out : path
        A Parquet file with columns ``id, response, logp, n_tokens``. Its metadata ties it to the weights,
        to the precision and, through the encoded tokens, to tokenizer, template, truncation and data.
    token_level : bool
        Add the column ``token_logps``, a list for every response but the mismatched: the terms of ``logp``.
    """
    records = read_preferences(data) if isinstance(data, str | Path) else data
    model, tokenizer = load(checkpoint, config.device), load_tokenizer(checkpoint)
    base_responses = all(getattr(record, "base_response", None) is not None for record in records)
    limits = Limits.of(config, context_length(model))
    encoded = encode_preferences(records, tokenizer, limits, base_responses)
    layout = layout_for(model, encoded.longest(), config.micro_batch_tokens)
    parts = [encoded]
    if len(np.unique(_prompt_keys(encoded))) > 1:
        parts.append(mismatched(encoded, limits.max_tokens))
    return write_reference(Path(out), model, parts, layout, config, token_level)


def write_reference(
    out: Path, model: nn.Module, parts: list[Encoded], layout: Layout, config: TrainConfig, token_level: bool = False
) -> Path:
    """Score the parts and write the table; see `reference_logps`."""
    import pyarrow
    import pyarrow.parquet

    columns: dict[str, list[Any]] = {"id": [], "response": [], "logp": [], "n_tokens": []}
    if token_level:
        columns["token_logps"] = []
    for part in parts:
        if token_level and part.columns != (MISMATCHED,):
            logps, tokens = score_tokens(model, part, layout, config)
            segments = part.responses.transpose(1, 0, 2).reshape(-1, 2).tolist()
            columns["token_logps"] += [tokens[start : start + length] for start, length in segments]
        else:
            logps = score_all(model, part, layout, config)
            if token_level:
                columns["token_logps"] += [None] * len(part)
        for k, name in enumerate(part.columns):
            columns["id"] += part.ids
            columns["response"] += [name] * len(part)
            columns["logp"] += logps[:, k].tolist()
            columns["n_tokens"] += part.lengths[:, k].tolist()
    encoded = {column: digest for part in parts for column, digest in part.fingerprints().items()}
    about = {"weights": weights_hash(model), "dtype": config.dtype, "encoded": encoded}
    table = pyarrow.table(columns).replace_schema_metadata({METADATA: json.dumps(about).encode()})
    with replacing(out) as temporary:
        pyarrow.parquet.write_table(table, temporary)
    return out


def read_reference(file: str | Path, parts: list[Encoded], config: TrainConfig) -> tuple[list[np.ndarray], str]:
    """The log-probabilities of the parts, each of shape (N, K), and the hash of the weights that gave them.

    Raises
    ------
    ValueError
        If the file was made with other tokens or another precision than this run uses.
    """
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(file)
    metadata = (table.schema.metadata or {}).get(METADATA)
    if metadata is None:
        raise ValueError(f"{file} is no file of reference log-probabilities")
    about = json.loads(metadata)
    if about["dtype"] != config.dtype:
        raise ValueError(f"{file} was computed in {about['dtype']}, this run uses {config.dtype}")
    for column, digest in ((c, d) for part in parts for c, d in part.fingerprints().items()):
        if column not in about["encoded"]:
            raise ValueError(f"{file} has no {column} responses; it has {', '.join(about['encoded'])}")
        if about["encoded"][column] != digest:
            raise ValueError(f"{file} is for other tokens: data, tokenizer, chat template or truncation differ")
    frame = table.to_pandas().set_index("response")
    return [
        np.stack([frame.loc[[name], "logp"].to_numpy(np.float32) for name in part.columns], axis=1) for part in parts
    ], about["weights"]


def read_token_reference(file: str | Path, encoded: Encoded) -> np.ndarray:
    """The log-probability of every response token at its place in ``encoded.tokens``; 0 elsewhere.

    `read_reference` checks that the file fits.

    Raises
    ------
    ValueError
        If the file holds sums only.
    """
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(file)
    if "token_logps" not in table.column_names:
        raise ValueError(f"{file} has no log-probabilities per token; make it with token_level=True")
    frame = table.to_pandas().set_index("response")
    tokens = np.zeros(len(encoded.tokens), np.float32)
    for k, name in enumerate(encoded.columns):
        starts, lengths = encoded.responses[:, k].T
        tokens[np.repeat(starts, lengths) + ranges(lengths)] = np.concatenate(frame.loc[[name], "token_logps"].tolist())
    return tokens


def mismatched(encoded: Encoded, max_tokens: int) -> Encoded:
    """Every prompt with the response of another example, alternately its first and its last column.

    KTO's baseline needs log-probabilities of responses that were not given to their prompt. The partner is
    drawn once per data set, by a fixed seed, and never has the same prompt; so it neither depends on how
    batches are made, nor is it missing in a batch of one, and the reference is scored only once.

    Examples
    --------
    >>> from collections import Counter
    >>> prompts, responses = np.array([[0, 1], [2, 1]]), np.array([[[1, 1]], [[3, 1]]])
    >>> complete = np.ones((2, 1), bool)
    >>> encoded = Encoded(["a", "b"], ("response",), np.arange(4), prompts, responses, complete, np.arange(2))
    >>> mismatched(encoded, 8).responses[:, 0, 0].tolist()
    [3, 1]
    """
    n, k = encoded.lengths.shape
    keys = _prompt_keys(encoded)
    if len(np.unique(keys)) < 2:
        raise ValueError("mismatched responses need at least two different prompts")
    order = np.random.default_rng(0).permutation(n)
    # The next example in a fixed random order that has another prompt.
    partner = np.empty(n, np.int64)
    ahead = np.concatenate([order, order])
    ahead_keys = keys[ahead]
    changes = np.flatnonzero(ahead_keys[1:] != ahead_keys[:-1]) + 1
    partner[order] = ahead[changes[np.searchsorted(changes, np.arange(n), side="right")]]
    side = np.empty(n, np.int64)
    side[order] = np.where(np.arange(n) % 2, min(1, k - 1), 0)
    responses = encoded.responses[partner, side].copy()
    room = max_tokens - encoded.prompts[:, 1]
    complete = encoded.complete[partner, side] & (responses[:, 1] <= room)
    responses[:, 1] = np.minimum(responses[:, 1], room)
    return Encoded(
        encoded.ids,
        (MISMATCHED,),
        encoded.tokens,
        encoded.prompts,
        responses[:, None],
        complete[:, None],
        encoded.kept,
    )


def _prompt_keys(encoded: Encoded) -> np.ndarray:
    """The same number for the same prompt."""
    numbers: dict[bytes, int] = {}
    spans = encoded.prompts.tolist()
    texts = (encoded.tokens[start : start + length].tobytes() for start, length in spans)
    return np.array([numbers.setdefault(text, len(numbers)) for text in texts])
