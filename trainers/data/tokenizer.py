"""Tokenizers for models made from scratch, saved as plain Hugging Face folders."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import trainers.tokens.loading

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

SPECIAL = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}

# A word or a run of punctuation with the space before it, or other white space: every character of a
# text belongs to exactly one piece, so the joined pieces are the text.
PIECE = r" ?\w+| ?[^\w\s]+|\s"


def word_tokenizer(words: Iterable[str], out: Path) -> PreTrainedTokenizerFast:
    """One token per word, punctuation or white space; a word with a space before it is a token of its own.

    Parameters
    ----------
    words : iterable of str
        Words or whole texts; the vocabulary is every piece that occurs in them, sorted.
    out : Path
        Folder to write.

    Returns
    -------
    PreTrainedTokenizerFast
        Puts ``<bos>`` in front. ``decode(encode(text)) == text`` for text made of known pieces.

    Examples
    --------
    >>> import tempfile
    >>> tokenizer = word_tokenizer(["How are you?", "Well, thank you."], Path(tempfile.mkdtemp()))
    >>> tokenizer.tokenize("Well, you?")
    ['Well', ',', ' you', '?']
    >>> tokenizer.decode(tokenizer("Well, you?").input_ids, skip_special_tokens=True)
    'Well, you?'
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    pieces = sorted({piece for text in words for piece in re.findall(PIECE, text)})
    vocabulary = {piece: index for index, piece in enumerate([*SPECIAL.values(), *pieces])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PIECE), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return _save(tokenizer, out)


def bpe_tokenizer(texts: Iterable[str], size: int, out: Path) -> PreTrainedTokenizerFast:
    """Byte-level byte-pair encoding with `size` tokens trained on `texts`; any text can be encoded.

    Examples
    --------
    >>> import tempfile
    >>> tokenizer = bpe_tokenizer(["a banana, a bandana"] * 4, 264, Path(tempfile.mkdtemp()))
    >>> len(tokenizer), tokenizer.decode(tokenizer("bandana é").input_ids, skip_special_tokens=True)
    (264, 'bandana é')
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if size < len(alphabet) + len(SPECIAL):
        raise ValueError(f"a byte-level vocabulary needs at least {len(alphabet) + len(SPECIAL)} tokens, not {size}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(SPECIAL.values()), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _save(tokenizer, out)


def _save(tokenizer: Tokenizer, out: Path) -> PreTrainedTokenizerFast:
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    bos = SPECIAL["bos_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, padding_side="left", **SPECIAL
    )
    fast.save_pretrained(out)
    return fast


def load_tokenizer(source: str | Path) -> PreTrainedTokenizerFast:
    """A tokenizer from a folder or the hub, as it was saved (see `trainers.tokens.loading`).

    Raises
    ------
    ValueError
        If there is no tokenizer, or if it has no end-of-sequence token.
    """
    tokenizer: PreTrainedTokenizerFast = trainers.tokens.loading.load_tokenizer(source)
    if tokenizer.eos_token_id is None:
        raise ValueError(f"the tokenizer of {source} has no end-of-sequence token, so responses could not end")
    return tokenizer
