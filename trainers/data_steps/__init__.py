"""One file per data step: a frozen dataclass of hyperparameters and a pure function that makes training data.

Every module of this package is imported here, so that a new file registers itself by existing.
"""

from importlib import import_module
from pkgutil import iter_modules

from trainers.data_steps.step import DataStep, Prepared, Responses, Source, StepNeeds, create, register, steps

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["DataStep", "Prepared", "Responses", "Source", "StepNeeds", "create", "register", "steps"]
