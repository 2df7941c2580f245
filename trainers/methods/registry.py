"""The registry of methods: a decorator puts a class under its YAML name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field
from functools import wraps
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.registry import FACTS, Registry


class Method(Protocol):
    """A preference-optimization method: hyperparameters as fields, and a loss.

    The class docstring begins with the method's full name and holds the lines ``Formula:``, ``Source:``,
    ``From memory:`` and ``Cost:`` (in units of DPO's), from which ``docs/methods.md`` is made. A formula
    with ``sg[...]`` says that the gradient is deliberately not the derivative of the value. An optional line
    ``Name:`` is the name in reports; without it, they show the YAML name.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    sweep: ClassVar[str | None]
    """The hyperparameter that traces the method's trade-off, if it has one."""

    @property
    def needs(self) -> Needs:
        """What the batch must hold; a class attribute unless it depends on the hyperparameters."""

    @property
    def log_probs(self) -> str:
        """``"SUM"`` or ``"MEAN"`` over response tokens, or which part takes which."""

    def loss(self, batch: MethodBatch) -> Loss: ...


@runtime_checkable
class OnPolicyMethod(Method, Protocol):
    """A method that learns from samples of the policy itself."""

    @property
    def samples(self) -> int:
        """Responses drawn for each prompt."""

    @property
    def updates(self) -> int:
        """Optimizer steps on each round of samples."""


METHODS: Registry[Method] = Registry("method", ("needs", "sweep", "log_probs", "loss"), FACTS)
M = TypeVar("M", bound=Method)


def register(name: str) -> Callable[[type[M]], type[M]]:
    """Register a method class under its YAML name; its loss refuses a batch that lacks what it needs.

    Raises
    ------
    DeclarationError
        Naming the file and what the class lacks: ``needs``, ``sweep``, ``log_probs``, ``loss`` or a docstring line.
    """

    def decorate(cls: type[M]) -> type[M]:
        METHODS.register(name)(cls)
        # An inherited loss is checked under each class's own name.
        cls.loss = _checked(name, cls.loss)  # type: ignore[method-assign, assignment]  # the class's own method, wrapped
        return cls

    return decorate


def methods() -> Mapping[str, type[Method]]:
    """All registered method classes by name."""
    return METHODS.all()


def create(name: str, **parameters: Any) -> Method:
    """Build a method from its YAML name and hyperparameters.

    Raises
    ------
    ValueError
        For an unknown method or hyperparameter; the message names the nearest known one.

    Examples
    --------
    >>> create("dpo", beta=0.5)
    DPO(beta=0.5)
    >>> create("dpo", betta=0.5)
    Traceback (most recent call last):
    ValueError: method 'dpo' has no hyperparameter 'betta'; did you mean 'beta'?
    """
    return METHODS.create(name, **parameters)


def _checked(name: str, loss: Callable[[Method, MethodBatch], Loss]) -> Callable[[Method, MethodBatch], Loss]:
    @wraps(loss)
    def checked(self: Method, batch: MethodBatch) -> Loss:
        if missing := self.needs.missing(batch):
            raise ValueError(f"method {name!r} needs {' and '.join(missing)}")
        return loss(self, batch)

    return checked
