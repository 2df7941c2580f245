"""One file per method: a frozen dataclass of hyperparameters and a pure loss on log-probs.

Every module of this package is imported here, so that a new file registers itself by existing.
"""

from importlib import import_module
from pkgutil import iter_modules

from trainers.methods.registry import Method, create, methods, register

for _module in iter_modules(__path__):
    if _module.name != "__main__":
        import_module(f"{__name__}.{_module.name}")

__all__ = ["Method", "create", "methods", "register"]
