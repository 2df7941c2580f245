"""Schema of a user's own objectives: what they mean, and a column of scores or a scorer that measures them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from harness.errors import nearest
from harness.records import Direction, Objective
from harness.spec.scorers import Endpoint
from harness.spec.strict import Strict

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class OwnObjective(Strict):
    """An objective by its direction and bounds, and by the scores of entries (`column`) or by a scorer.

    In a file, a scorer's settings stand beside the others: ``{regex: "!", direction: minimize, bounds: [0, 10]}``.
    """

    direction: Direction
    bounds: Annotated[tuple[float, float], Field(strict=False)]
    unit: str = ""
    label: str = ""
    role: Literal["designer", "user"] = "designer"
    clip: bool = False
    """Move a value outside the bounds to them; without it the value is an error of its item."""
    column: str | None = None
    """The entries' files hold the scores, under this name."""
    scorer: dict[str, Any] = {}
    """Settings of a scorer (`suites.custom`), recognised by the key that is a kind's name."""

    @model_validator(mode="before")
    @classmethod
    def _scorer_apart(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or "scorer" in raw:
            return raw
        settings = {name: value for name, value in raw.items() if name not in cls.model_fields}
        return {**{name: value for name, value in raw.items() if name not in settings}, "scorer": settings}

    @field_validator("bounds")
    @classmethod
    def _ordered(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if not bounds[0] < bounds[1]:
            raise ValueError(f"should be [low, high], not {list(bounds)}")
        return bounds

    @model_validator(mode="after")
    def _measured(self) -> OwnObjective:
        from suites.custom import create, kinds, setting_names

        if self.column is not None:
            if self.scorer:
                raise ValueError(f"unknown key {next(iter(self.scorer))!r} beside 'column'")
            return self
        kind = self.kind
        if kind is None:
            key = next(iter(self.scorer), "")
            raise ValueError(
                f"unknown key {key!r}{nearest(key, [*kinds(), 'column', *type(self).model_fields])}"
                if key
                else f"needs one of {', '.join(sorted([*kinds(), 'column']))}, which says how it is measured"
            )
        names = setting_names(kind)
        for name in self.scorer:
            if name not in names:
                raise ValueError(f"unknown key {name!r}{nearest(name, [*names, *type(self).model_fields])}")
        try:
            create(kind, self.scorer)
            if isinstance(raw := self.scorer.get("endpoint"), dict):
                Endpoint.model_validate(raw)
        except ValidationError as fault:
            first = fault.errors()[0]
            message = str(first["msg"]).removeprefix("Value error, ")
            raise ValueError(f"{'.'.join(map(str, ('endpoint', *first['loc'])))}: {message}") from None
        except (TypeError, ValueError) as fault:
            raise ValueError(str(fault)) from None
        return self

    @property
    def kind(self) -> str | None:
        """The kind of its scorer; None for one that has none."""
        from suites.custom import kinds

        return next((kind for kind in kinds() if kind in self.scorer), None)

    @property
    def endpoint(self) -> Endpoint | None:
        """Address and terms of a served model; None for a scorer without one."""
        raw = self.scorer.get("endpoint")
        return None if raw is None else Endpoint.model_validate(raw)

    def objective(self, name: str) -> Objective:
        """The objective under the name that the experiment gives it."""
        label = self.label or name.replace("_", " ").capitalize()
        return Objective(name, label, self.direction, self.unit, self.bounds, self.role)
