"""Tokenizers as they were saved: the same tokens in training, generation and judgement."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

FILE = "tokenizer.json"
STEERING = "steering.safetensors"
"""File beside the weights of a policy that is conditioned on a context of pairs."""
PROBE = "How are  you today? It's 12345,\n\nHuman: Ünïcode e\u0301 don't <x>\t你好 🙂 CamelCase's\n   end "
"""Digits, runs of spaces, contractions, accents in both forms, other scripts: where pre-tokenizers differ."""


def load_tokenizer(source: str | Path) -> Any:
    """A tokenizer from a folder or the hub, which gives the tokens that its ``tokenizer.json`` describes.

    ``AutoTokenizer`` builds the class that belongs to the model's type. Some classes bring a pre-tokenizer of their own
    and ignore the saved one: a folder of type qwen2 with a tokenizer that was trained on other data would give other
    tokens than those of training. The tokens of a probe text are therefore compared with those of the saved file, and
    the file decides.

    Raises
    ------
    ValueError
        Naming the source, if there is no tokenizer, or none that agrees with the file.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if Path(source).is_dir() and not any(Path(source).glob("tokenizer*")):
        raise ValueError(f"{source} holds no tokenizer")
    saved = saved_tokens(source)
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(source))
    except Exception as fault:  # a class that cannot read another's vocabulary fails in its own way
        if saved is None:
            raise ValueError(f"the tokenizer of {source} cannot be loaded: {fault}") from fault
        tokenizer = None
    if saved is None or (tokenizer is not None and _tokens(tokenizer) == saved):
        return tokenizer
    name = "AutoTokenizer" if tokenizer is None else type(tokenizer).__name__
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(source))
    if _tokens(tokenizer) != saved:
        raise ValueError(f"the tokenizer of {source} gives other tokens than its {FILE} describes")
    log.info("%s: %s gives other tokens than %s, which is used instead", source, name, FILE)
    return tokenizer


def require_unsteered(source: str | Path) -> None:
    """Raise for a policy that is conditioned on a context: without it, its weights are those of another policy.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> require_unsteered(folder)
    >>> (folder / STEERING).touch()
    >>> try:
    ...     require_unsteered(folder)
    ... except ValueError as fault:
    ...     print(str(fault).removeprefix(str(folder)))
     is steered by a context of pairs (steering.safetensors) and cannot be used without one
    """
    if (Path(source) / STEERING).is_file():
        raise ValueError(f"{source} is steered by a context of pairs ({STEERING}) and cannot be used without one")


def vocabulary_size(source: str | Path) -> int | None:
    """One more than the largest token id of the source's ``tokenizer.json``; None if it has no readable one."""
    path = _file(source)
    if path is None:
        return None
    from tokenizers import Tokenizer

    try:
        vocabulary = Tokenizer.from_file(path).get_vocab(with_added_tokens=True)
    except Exception:  # the library raises nothing narrower; loading the tokenizer names the fault
        return None
    return 1 + max(vocabulary.values(), default=-1)


def has_chat_template(folder: str | Path) -> bool:
    """Whether the tokenizer of a folder has a chat template, in a file of its own or in its configuration."""
    folder = Path(folder)
    if any(
        (folder / name).exists() for name in ("chat_template.jinja", "chat_template.json", "additional_chat_templates")
    ):
        return True
    config = folder / "tokenizer_config.json"
    try:
        return config.is_file() and bool(json.loads(config.read_text(encoding="utf-8")).get("chat_template"))
    except (ValueError, AttributeError):  # loading the tokenizer names the fault
        return False


def saved_tokens(source: str | Path) -> list[int] | None:
    """The tokens of `PROBE` by the source's ``tokenizer.json``; None if it has no such file."""
    from tokenizers import Tokenizer

    path = _file(source)
    if path is None:
        return None
    tokenizer = Tokenizer.from_file(path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids: list[int] = tokenizer.encode(PROBE, add_special_tokens=False).ids
    return ids


def _tokens(tokenizer: Any) -> list[int]:
    ids: list[int] = tokenizer(PROBE, add_special_tokens=False)["input_ids"]
    return ids


def _file(source: str | Path) -> str | None:
    """Path of the source's ``tokenizer.json``, from the cache or the hub where the source is no folder."""
    from transformers.utils.hub import cached_file

    if Path(source).is_dir():
        file = Path(source) / FILE
        return str(file) if file.is_file() else None
    path: str | None = cached_file(
        str(source),
        FILE,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        _raise_exceptions_for_gated_repo=False,
    )
    return path
