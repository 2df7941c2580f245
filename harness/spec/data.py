"""Schema of an experiment's data: pairs and prompts."""

from __future__ import annotations

import reprlib
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from harness.errors import nearest
from harness.spec.strict import Count, Label, Path, Seed, Strict


class OracleData(Strict):
    """The embedded world whose optimum is known."""

    source: Literal["oracle"] = "oracle"
    world: dict[str, Any] = {}
    worlds: Annotated[list[Seed], Field(max_length=1000)] = []
    """Seeds of several worlds; the experiment is run in each, and the report compares them."""
    corpus: Count = 64000
    pairs: Count = 8192
    labelled: Count = 6000
    instructions: Annotated[float, Field(ge=0, le=10)] | None = None
    """Teaches the base instructions (`suites.oracle.instructions`), which it obeys with this strength."""
    population: dict[str, Any] | None = None
    """Users with tastes of their own (`suites.oracle.population.PopulationSpec`); policies then learn from their pairs."""

    @model_validator(mode="after")
    def _distinct_worlds(self) -> OracleData:
        if len(set(self.worlds)) != len(self.worlds) or len(self.worlds) == 1:
            raise ValueError(f"worlds: needs at least two distinct seeds, not {reprlib.repr(self.worlds)}")
        if self.worlds and "seed" in self.world:
            raise ValueError("worlds: names the seeds of the worlds; leave out world.seed")
        return self

    @property
    def words(self) -> str:
        """The data in words."""
        return "the oracle world"

    def in_world(self, seed: int) -> OracleData:
        """The same data in one of the worlds."""
        return self.model_copy(update={"world": {**self.world, "seed": seed}, "worlds": []})


class Rows(Strict):
    """How the rows of a data set become pairs, and under which terms it may be used."""

    split: Label = "train"
    subset: Label | None = None
    """The configuration of a data set on the hub."""
    revision: Label | None = None
    """The commit of a data set on the hub."""
    form: str | None = None
    """One of `trainers.data.forms`; recognised by the columns if not given."""
    columns: dict[str, str] = {}
    """The data set's own names of columns, by the names that forms read: ``{prompt: instruction, chosen: preferred}``."""
    licence: Label | None = None
    """Licence and terms, where the data set does not state them itself."""

    @field_validator("form")
    @classmethod
    def _registered(cls, form: str | None) -> str | None:
        from trainers.data.forms import create

        try:
            if form is not None:
                create(form)
        except TypeError as fault:
            raise ValueError(str(fault)) from None
        return form

    @field_validator("columns")
    @classmethod
    def _read_by_a_form(cls, columns: dict[str, str]) -> dict[str, str]:
        from trainers.data.forms.recognition import known_columns

        for name in columns:
            if name not in known_columns():
                raise ValueError(f"no form of data reads a column {name!r}{nearest(name, known_columns())}")
        return columns


class PairSource(Rows):
    """One data set of a mixture: a hub id or a local file."""

    path: Path


class PromptSet(Strict):
    """Evaluation prompts of their own, in place of those held out from the pairs."""

    set: Path
    """A known set, fetched from the hub, or a local file in one of their forms (`harness.inputs.prompt_sets`)."""
    references: Path | None = None
    """A file with a model's responses, to compare with instead of the set's own."""
    template: str = "{prompt}"
    """How the policy sees a prompt: text with {prompt} and perhaps {response} at its end, or 'chat'."""
    limit: Count | None = None

    @field_validator("template")
    @classmethod
    def _holds_the_prompt(cls, template: str) -> str:
        if template != "chat" and template.count("{prompt}") != 1:
            raise ValueError(f"needs {{prompt}} once, or is 'chat', not {template!r}")
        if "{response}" in template.removesuffix("{response}"):
            raise ValueError(f"{{response}} ends the template, not {template!r}")
        return template


class PromptData(Strict):
    """Prompts alone, for a run that trains nothing."""

    source: Literal["prompts"]
    prompts: PromptSet | None = None
    """If not given, the prompts of the entries' own files."""

    @property
    def words(self) -> str:
        """The data in words."""
        return self.prompts.set if self.prompts else "one's own responses"


class PairData(Rows):
    """Real preference pairs: a hub id or a local JSON, JSON Lines, CSV or Parquet file, or a mixture of several."""

    source: Literal["pairs"]
    path: Path | None = None
    mixture: list[PairSource] = []
    """Instead of `path`: several data sets, mixed in an order that depends on the pairs alone."""
    pairs: Count = 5000
    """How many pairs the policies learn from, at most."""
    judge_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of conversations kept for training the judge; the policies never see them."""
    test_prompts: Count = 128
    test_turns: Count | None = None
    """Turns of the user in a test prompt, at most; any number if not given."""
    prompts: PromptSet | None = None
    template: Literal["auto", "none"] = "auto"
    """``auto``: a base with a chat template sees conversations through it; ``none``: every base sees the plain format."""
    on_invalid: Literal["error", "drop"] = "drop"
    evaluation_prompts: Literal["refuse", "train"] = "refuse"
    """Whether pairs to prompts that the experiment evaluates on, or that a known set has, may be trained on."""

    @property
    def parts(self) -> list[PairSource]:
        """The data sets: the one of `path`, or those of `mixture`."""
        if self.path is None:
            return self.mixture
        return [PairSource(path=self.path, **{name: getattr(self, name) for name in Rows.model_fields})]

    @property
    def words(self) -> str:
        """The data in words: ids of the hub, and files by their names."""
        paths = [part.path for part in self.parts]
        return " + ".join(PurePath(path).name if PurePath(path).suffix else path for path in paths)

    @model_validator(mode="after")
    def _one_source(self) -> PairData:
        if (self.path is None) == (not self.mixture):
            raise ValueError("give either 'path' or 'mixture'")
        fields = Rows.model_fields
        apart = [name for name in fields if name != "split" and getattr(self, name) not in (None, fields[name].default)]
        if self.mixture and apart:
            raise ValueError(f"{apart[0]}: belongs to each data set of the mixture")
        return self
