"""The interface of a form of preference data, its registry, and the reader that all forms share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Protocol

from trainers.data.fields import Fields, LeftOut, Unusable
from trainers.data.rows import Located
from trainers.registry import Registry
from trainers.tokens.dialogue import Text


@dataclass(frozen=True)
class Draft:
    """Two responses to one prompt, the first preferred.

    Without an `id` of its own, the pair is named by `digest`, a hash of its row. `scores` are what the data set says of
    both responses, chosen and rejected, by the names of its columns.
    """

    prompt: Text
    chosen: Text
    rejected: Text
    id: str | None = None
    digest: str = ""
    base_response: Text | None = None
    scores: Mapping[str, tuple[float, float]] = field(default_factory=dict)


Outcome = tuple[str, Draft | LeftOut | Unusable]
"""Where a row is, and the pair that it became or the reason why it became none."""


class Form(Protocol):
    """The rows of one kind of published data set, and how they become pairs.

    `read` turns one row into an item and sees its fields through `Fields`, which refuses values of another type. It
    raises `LeftOut` for a correct row that is not wanted and `Unusable` for one that is wrong. `pair` turns the items of
    the whole data set into pairs; most forms make one pair of each item. Texts follow each other as they are: the
    prompt ends with the cue for the assistant, and a response begins with its white space.

    A form may have three more members. ``fits(row)``, a static method, says in words why a row that has the columns is
    of the form, or returns None where it is not. ``note`` states what the form keeps of its data set besides pairs, and
    what it leaves out. ``terms`` are the licence and terms of a form that only one data set has.
    """

    columns: ClassVar[frozenset[str]]
    """The form is recognised by these columns. A row without all of them is read as a plain pair."""

    examples: ClassVar[Sequence[Mapping[str, object]]]
    """Rows that together give at least one pair. The check of a form puts odd values into each of their fields."""

    def read(self, row: Fields) -> Any: ...

    def pair(self, items: Sequence[tuple[str, Any]]) -> Iterable[Outcome]: ...


FORMS: Registry[Form] = Registry("form of data", attributes=("columns", "examples", "read", "pair"))
register, forms = FORMS.register, FORMS.all


@cache
def create(name: str) -> Form:
    """A registered form, once it has refused or converted odd values in its own examples.

    Raises
    ------
    ValueError
        With the nearest known name, if there is no such form.
    DeclarationError
        Naming the form's module, if the form makes text from a value that is no text, fails with another error than
        `Unusable`, or makes no pair of its examples.
    """
    from trainers.data.forms.check import check_form

    form = FORMS.create(name)
    check_form(form)
    return form


def title_of(form: Form) -> str:
    """The form in words: the first line of its docstring."""
    return (type(form).__doc__ or "").strip().splitlines()[0].rstrip(".")


def note_of(form: Form) -> str:
    """What a form keeps besides pairs and what it leaves out; empty where it has nothing to say."""
    return str(getattr(form, "note", ""))


def terms_of(form: Form) -> str:
    """Licence and terms of the one data set that has this form; empty where many have it."""
    return str(getattr(form, "terms", ""))


def pairs_of(form: Form, plain: Form, rows: Iterable[Located]) -> Iterator[Outcome]:
    """Every row as a pair, or the reason why it is none; `plain` reads the rows that are not of the form."""
    items: list[tuple[str, Any]] = []
    for where, value in rows:
        try:
            if isinstance(value, Unusable):
                raise value
            row = Fields.of(value)
            if form.columns <= row.values.keys():
                items.append((where, form.read(row)))
            else:
                yield from plain.pair([(where, plain.read(row))])
        except (LeftOut, Unusable) as reason:
            yield with_id(where, value), reason
    yield from form.pair(items)


def with_id(where: str, row: object) -> str:
    """Where a row is, and its id if it has a usable one."""
    try:
        name = Fields.of(row).own_id()
    except Unusable:
        return where
    return where if name is None else f"{where} (id {name})"
