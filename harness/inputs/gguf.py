"""GGUF files: what their headers state, and models that they hold as ordinary checkpoints.

The header is read here because the library's reader turns every token of the vocabulary into an array, which takes seconds for
each plan. The format is that of the specification in ggml's ``docs/gguf.md``, versions 2 and 3.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from dataclasses import dataclass
from functools import cache, cached_property
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, BinaryIO

from harness.inputs.models import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SUFFIX = ".gguf"
MAGIC = b"GGUF"
VERSIONS = (2, 3)
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
TEXT, ARRAY = 8, 9
ALIGNMENT = 32
MOST_TEXT = 2**28
"""Bytes of a text in a header, at most: a longer one is a damaged length."""
COPIES = 2
"""Copies in float32 that lie in memory while the file is converted: the library's model and the checkpoint's."""


@dataclass(frozen=True)
class Header:
    """What the header of a GGUF file states.

    Parameters
    ----------
    fields : dict
        Numbers and texts of the metadata by key; of an array its length.
    weights : dict of str to int
        Number of weights by quantisation type, the most frequent type first.
    tied : bool
        Whether the file has no head of its own, so that the embeddings are the head.
    """

    fields: dict[str, Any]
    weights: dict[str, int]
    tied: bool

    @property
    def architecture(self) -> str:
        return str(self.fields["general.architecture"])

    @property
    def name(self) -> str:
        """The model's name as the file states it; empty where it states none."""
        return str(self.fields.get("general.name", ""))

    @property
    def has_template(self) -> bool:
        return bool(self.fields.get("tokenizer.chat_template"))

    @property
    def quantisation(self) -> str:
        """The quantisation types of the weights, the most frequent first."""
        return ", ".join(self.weights)

    @cached_property
    def n_weights(self) -> int:
        return sum(self.weights.values())

    def number(self, name: str) -> int | None:
        """A number of the architecture, such as ``block_count``."""
        value = self.fields.get(f"{self.architecture}.{name}")
        return value if isinstance(value, int) else None


def read_header(file: Path) -> Header:
    """The header of a file, read once for every version of it.

    Raises
    ------
    ModelError
        In one line that names the file: for what is no GGUF file, a file that is cut off, and a quantisation type that cannot be
        read.
    """
    state = file.stat()
    return _header(file, state.st_mtime_ns, state.st_size)


@cache
def _header(file: Path, changed: int, size: int) -> Header:
    with file.open("rb") as stream:
        try:
            return _parsed(file, stream, size)
        except (EOFError, OverflowError, MemoryError):
            raise ModelError(
                f"{file}: is cut off or damaged: its header does not end within the {size:,} bytes of the file"
            ) from None
        except UnicodeDecodeError:
            raise ModelError(f"{file}: is damaged: a text in its header is not UTF-8") from None


def _parsed(file: Path, stream: BinaryIO, size: int) -> Header:
    if stream.read(4) != MAGIC:
        raise ModelError(f"{file}: is no GGUF file: it does not begin with {MAGIC.decode()!r}")
    version, n_tensors, n_fields = _unpack(stream, "<I"), _unpack(stream, "<Q"), _unpack(stream, "<Q")
    if version not in VERSIONS:
        raise ModelError(f"{file}: is GGUF of version {version}; versions 2 and 3 are read")
    fields = {_text(stream): _value(stream, _unpack(stream, "<I")) for _ in range(n_fields)}
    if not isinstance(fields.get("general.architecture"), str):
        raise ModelError(f"{file}: its header names no architecture (general.architecture)")
    tensors = [_tensor(stream) for _ in range(n_tensors)]
    alignment = int(fields.get("general.alignment", ALIGNMENT))
    start = -(-stream.tell() // alignment) * alignment
    weights: Counter[str] = Counter()
    for name, shape, kind, offset in tensors:
        type_name, n_bytes = _extent(file, name, shape, kind)
        if start + offset + n_bytes > size:
            raise ModelError(
                f"{file}: is cut off: its tensor {name} ends at byte {start + offset + n_bytes:,} and the file at {size:,}"
            )
        weights[type_name] += prod(shape)
    return Header(fields, dict(weights.most_common()), all(name != "output.weight" for name, *_ in tensors))


def _unpack(stream: BinaryIO, form: str) -> Any:
    size = struct.calcsize(form)
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return struct.unpack(form, data)[0]


def _text(stream: BinaryIO) -> str:
    length = _unpack(stream, "<Q")
    data = stream.read(min(length, MOST_TEXT))
    if len(data) < length:
        raise EOFError
    return data.decode()


def _value(stream: BinaryIO, kind: int) -> Any:
    """A number or a text of the metadata; the length of an array, whose contents are passed over."""
    if kind == TEXT:
        return _text(stream)
    if kind != ARRAY:
        return _unpack(stream, _scalar(kind))
    inner, length = _unpack(stream, "<I"), _unpack(stream, "<Q")
    if inner not in (TEXT, ARRAY):
        stream.seek(struct.calcsize(_scalar(inner)) * length, os.SEEK_CUR)
        return length
    for _ in range(length):
        _value(stream, inner)
    return length


def _scalar(kind: int) -> str:
    if kind not in SCALARS:
        raise EOFError  # no type of the format: the header is damaged here
    return SCALARS[kind]


def _tensor(stream: BinaryIO) -> tuple[str, list[int], int, int]:
    """Name, shape, quantisation type and offset of a tensor."""
    name = _text(stream)
    shape = [_unpack(stream, "<Q") for _ in range(_unpack(stream, "<I"))]
    return name, shape, _unpack(stream, "<I"), _unpack(stream, "<Q")


def _extent(file: Path, name: str, shape: list[int], kind: int) -> tuple[str, int]:
    """Name of a tensor's quantisation type, and its number of bytes."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    readable = _readable()
    if kind not in readable:
        known = next((each.name for each in GGMLQuantizationType if each == kind), f"number {kind}")
        raise ModelError(
            f"{file}: its tensor {name} has the quantisation type {known}, which cannot be read; "
            f"quantise the model to one of {', '.join(readable.values())}"
        )
    block, n_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
    return readable[kind], prod(shape) // block * n_bytes


@cache
def _readable() -> dict[int, str]:
    """The quantisation types that the library dequantises: those for which a block of zeros can be."""
    import numpy as np
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

    names = {}
    for kind in GGMLQuantizationType:
        try:
            dequantize(np.zeros((1, GGML_QUANT_SIZES[kind][1]), np.uint8), kind)
        except NotImplementedError:
            continue
        names[int(kind)] = kind.name
    return names


def require_memory(file: Path) -> None:
    """Raise `ModelError` if a file's weights do not fit the free memory of this machine in float32."""
    import psutil

    needed, free = COPIES * 4 * read_header(file).n_weights, psutil.virtual_memory().available
    if needed > free:
        raise ModelError(
            f"{file}: its {read_header(file).n_weights:,} weights take {needed / 2**30:,.1f} GiB to dequantise, and this machine has "
            f"{free / 2**30:,.1f} GiB free"
        )


def dequantised(file: Path) -> tuple[PreTrainedModel, Any]:
    """The model of a file in float32, without anything that says it was quantised, and its tokenizer.

    Tied embeddings stay tied, and the chat template stays the tokenizer's.

    Raises
    ------
    ModelError
        If the file lacks weights of the model, as a part of a split file does: they would be random.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with TemporaryDirectory() as alone:  # no configuration of another model lies beside the file here
        (Path(alone) / file.name).symlink_to(file.resolve())
        made: Any = AutoModelForCausalLM.from_pretrained(
            alone, gguf_file=file.name, dtype=torch.float32, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(alone, gguf_file=file.name)
    loaded, report = made
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise ModelError(f"{file}: lacks {len(missing)} tensors of the model, {missing[0]} among them")
    config = loaded.config
    del config.quantization_config  # save_pretrained refuses a model that has one
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(loaded.state_dict())
    model.tie_weights()
    model.generation_config = loaded.generation_config
    return model.eval(), tokenizer
