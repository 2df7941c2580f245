"""Prompt templates of a pairwise comparison by a language model, and the reading of its answers."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from suites.judges.replies import exact_choice, final_choice

SHIPPED = Path(__file__).parent / "prompts"


@dataclass(frozen=True)
class Template:
    """A comparison's wording.

    Parameters
    ----------
    name : str
    messages : tuple of (role, content)
        Contents hold ``{prompt}``, ``{first}`` and ``{second}``.
    choices : tuple of str
        Characters for the first and for the second response.
    answer : {"token", "last_character"}
        ``token``: the reply is the choice, and its log-probability the strength of the preference;
        ``last_character``: the reply ends with it, after a justification.
    cue : str
        Beginning of the reply, after which a local model's log-probs of the choices are read.
    max_tokens : int
        Longest reply.
    """

    name: str
    messages: tuple[tuple[str, str], ...]
    choices: tuple[str, str]
    answer: Literal["token", "last_character"]
    cue: str
    max_tokens: int

    def __post_init__(self) -> None:
        text = "".join(content for _, content in self.messages)
        for field in ("prompt", "first", "second"):
            if text.count(f"{{{field}}}") != 1:
                raise ValueError(f"prompt template {self.name!r}: {{{field}}} must occur once")
        if len(set(self.choices)) != 2 or any(len(choice) != 1 for choice in self.choices):
            raise ValueError(f"prompt template {self.name!r}: choices are two different characters, not {self.choices}")
        if self.answer not in ("token", "last_character"):
            raise ValueError(f"prompt template {self.name!r}: answer is 'token' or 'last_character', not {self.answer}")

    @property
    def revision(self) -> str:
        """Hash of everything that is sent."""
        asked = repr((self.messages, self.choices, self.answer, self.cue, self.max_tokens))
        return hashlib.sha256(asked.encode()).hexdigest()[:12]

    def render(self, prompt: str, first: str, second: str) -> list[dict[str, str]]:
        """The conversation to send. Texts are inserted unchanged: a placeholder inside a response is not replaced.

        Examples
        --------
        >>> load_template("alpaca_eval").render("Hi {second}", "a", "b")[1]["content"].splitlines()[1]
        'Hi {second}'
        """
        values = {"prompt": prompt, "first": first, "second": second}

        def fill(content: str) -> str:
            return re.sub(r"\{(prompt|first|second)\}", lambda match: values[match[1]], content)

        return [{"role": role, "content": fill(content)} for role, content in self.messages]

    def read(self, reply: str) -> float | None:
        """P(first is better) that a written reply states: 1, 0, or None where it states neither beyond doubt.

        See `suites.judges.replies` for what counts as a choice.

        Examples
        --------
        >>> template = load_template("upo")
        >>> [template.read(reply) for reply in ("A is rude. B", "Both lie. **A**.", "I cannot judge this.", "")]
        [0.0, 1.0, None, None]
        """
        find = exact_choice if self.answer == "token" else final_choice
        choice = find(reply, self.choices)
        return None if choice is None else float(choice == self.choices[0])

    def weigh(self, logprobs: Mapping[str, float]) -> float | None:
        r"""P(first is better) from log-probs of reply tokens: :math:`p_1 / (p_1 + p_2)`, None without either.

        A choice that is not among the tokens counts as having no probability.

        Examples
        --------
        >>> load_template("alpaca_eval").weigh({"m": math.log(0.6), " M": math.log(0.2), "x": math.log(0.1)})
        0.75
        """
        mass = [
            math.fsum(math.exp(value) for token, value in logprobs.items() if token.strip() == choice)
            for choice in self.choices
        ]
        return mass[0] / sum(mass) if sum(mass) > 0 else None


def shipped_templates() -> list[str]:
    """Names of the templates that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load_template(name_or_path: str) -> Template:
    """A shipped template by name, or one's own by the path of a YAML file of the same keys.

    Raises
    ------
    ValueError
        For an unknown name, a missing file or a wrong key.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = SHIPPED / f"{name_or_path}.yaml"
        if not path.is_file():
            raise ValueError(
                f"no prompt template {name_or_path!r}; known are {', '.join(shipped_templates())} "
                "(or give the path of a .yaml file)"
            )
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        messages = tuple((message["role"], message["content"]) for message in raw.pop("messages"))
        first, second = map(str, raw.pop("choices"))
        return Template(path.stem, messages, (first, second), **raw)
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: not a prompt template ({str(error).splitlines()[0]})") from None
