"""One file per data step: a frozen dataclass of hyperparameters and a pure function that makes training data.

Every module of this package is imported here, so that a new file registers itself by existing. A file that cannot be
imported is listed in ``STEPS.broken``.
"""

from trainers.data_steps.step import STEPS, DataStep, Prepared, Responses, Source, StepNeeds, create, register, steps

STEPS.import_files(__name__, __path__)

__all__ = ["STEPS", "DataStep", "Prepared", "Responses", "Source", "StepNeeds", "create", "register", "steps"]
