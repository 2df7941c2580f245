"""Licence and terms of data sets: as the experiment states them, as files beside the data do, or as the hub's card does."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

NON_COMMERCIAL = re.compile(r"\bnc\b|non[- ]?commercial", re.IGNORECASE)
NOT_STATED = "not stated"
CARD = "README.md"
FRONT = re.compile(r"\A---\n(.*?)\n---", re.DOTALL)
"""YAML in front of a card."""
TIMEOUT = 5.0
"""Seconds to wait for a card of the hub."""


@dataclass(frozen=True)
class Terms:
    """Licence and terms of a data set.

    Parameters
    ----------
    licence : str
        As it is written there; ``not stated`` where nothing says it.
    source : str
        Where that is written; empty where nothing says it.

    Examples
    --------
    >>> terms = Terms("CC-BY-NC-4.0", "its card on the hub")
    >>> terms.non_commercial, str(terms)
    (True, 'CC-BY-NC-4.0 by its card on the hub, non-commercial use only')
    """

    licence: str = NOT_STATED
    source: str = ""

    @property
    def non_commercial(self) -> bool:
        return NON_COMMERCIAL.search(self.licence) is not None

    def __str__(self) -> str:
        by = f" by {self.source}" if self.source else ""
        return f"{self.licence}{by}{', non-commercial use only' if self.non_commercial else ''}"


PUBLISHED: Mapping[str, str] = {
    "Anthropic/hh-rlhf": "MIT", "OpenAssistant/oasst1": "Apache-2.0", "OpenAssistant/oasst2": "Apache-2.0",
    "HuggingFaceH4/ultrafeedback_binarized": "MIT", "openbmb/UltraFeedback": "MIT", "nvidia/HelpSteer2": "CC-BY-4.0",
    "nvidia/HelpSteer3": "CC-BY-4.0", "PKU-Alignment/PKU-SafeRLHF": "CC-BY-NC-4.0",
    "PKU-Alignment/BeaverTails": "CC-BY-NC-4.0",
    "berkeley-nest/Nectar": "Apache-2.0, under the condition that it is not used to compete with OpenAI",
    "tatsu-lab/alpaca_eval": "CC-BY-NC-4.0", "HuggingFaceH4/mt_bench_prompts": "Apache-2.0",
}  # fmt: skip
"""Licences of known data sets, as their cards on the hub stated them in 2025; used where the card cannot be read."""


@lru_cache
def terms_of(path: str, licence: str | None = None, form_terms: str = "") -> Terms:
    """The terms of a data set.

    Parameters
    ----------
    path : str
        A file, or the id of a data set on the hub.
    licence : str, optional
        What the experiment states.
    form_terms : str
        The terms of the one data set that has the form of the file.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "README.md").write_text("---\\nlicense: cc-by-nc-4.0\\n---\\n")
    >>> str(terms_of(str(folder / "pairs.jsonl")))
    'cc-by-nc-4.0 by README.md beside it, non-commercial use only'
    """
    if licence is not None:
        return Terms(licence, "the experiment")
    local = Path(path).exists() or path.count("/") != 1
    stated = _beside(Path(path)) if local else _on_hub(path)
    if stated is None and form_terms:
        return Terms(form_terms, "the publisher of data in this form")
    return stated or Terms()


def _beside(path: Path) -> Terms | None:
    """The licence that a card or a note of origin beside a file states, or the first line of a licence there."""
    folder = path.parent
    try:
        if (folder / CARD).is_file() and (licence := _front((folder / CARD).read_text(encoding="utf-8"))):
            return Terms(licence, f"{CARD} beside it")
        if (folder / "ORIGIN.json").is_file():
            origin = json.loads((folder / "ORIGIN.json").read_text(encoding="utf-8"))
            licence = origin.get("licence") or origin.get("license") if isinstance(origin, dict) else None
            if isinstance(licence, str):
                return Terms(licence, "ORIGIN.json beside it")
        if file := next(
            (folder / name for name in ("LICENSE", "LICENSE.txt", "LICENSE.md") if (folder / name).is_file()), None
        ):
            lines = file.read_text(encoding="utf-8").splitlines()
            return Terms(
                next((line.strip() for line in lines if line.strip()), NOT_STATED)[:100], f"{file.name} beside it"
            )
    except (OSError, ValueError):
        return None
    return None


def _front(card: str) -> str | None:
    """The licence in the front matter of a card."""
    match = FRONT.match(card)
    try:
        front = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError:
        return None
    return _named(front) if isinstance(front, dict) else None


def _named(front: Mapping[str, object]) -> str | None:
    """The licence of a card's fields; ``other`` has a name or a link of its own."""
    licence = front.get("license")
    if licence == "other":
        licence = front.get("license_name") or front.get("license_link") or licence
    listed = ", ".join(map(str, licence)) if isinstance(licence, list) else licence
    return str(listed) if listed else None


def _on_hub(name: str) -> Terms | None:
    """The licence that the card of a data set on the hub states now, or a known one where the hub is out of reach."""
    if not os.environ.get("HF_HUB_OFFLINE"):
        from huggingface_hub import HfApi

        try:
            card = HfApi().dataset_info(name, timeout=TIMEOUT).card_data
            fields = {name: getattr(card, name, None) for name in ("license", "license_name", "license_link")}
            if licence := _named(fields):
                return Terms(licence, "its card on the hub")
        except Exception:  # which error a dead network is differs between versions of its HTTP library
            pass
    return Terms(PUBLISHED[name], "its publisher") if name in PUBLISHED else None
