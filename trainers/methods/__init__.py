"""One file per method: a frozen dataclass of hyperparameters and a pure loss on log-probs.

Every module of this package is imported here, so that a new file registers itself by existing. A file that cannot be
imported is listed in ``METHODS.broken``.
"""

from trainers.methods.registry import METHODS, Method, create, methods, register

METHODS.import_files(__name__, __path__)

__all__ = ["METHODS", "Method", "create", "methods", "register"]
