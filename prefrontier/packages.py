"""Location-based import of the project's top-level packages.

Their names are plain words (`trainers`, `reports`, `suites`, `harness`), and a script's own folder comes first on the
import path. A user's `trainers.py` or `reports/` would therefore be imported in their place.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType

HOME = Path(__file__).resolve().parents[1]
"""The folder that holds `prefrontier` and, beside it, the other packages."""

PACKAGES = ("harness", "trainers", "suites", "reports")


def use(*names: str) -> None:
    """Import packages of the project from the folder in which `prefrontier` lies.

    After this call ``import NAME`` refers to the project's package, whatever the import path holds.

    Parameters
    ----------
    names : str
        Names from `PACKAGES`.

    Raises
    ------
    ImportError
        If another module is already imported under one of these names.

    Examples
    --------
    >>> use("harness")
    >>> Path(sys.modules["harness"].__file__).parent == HOME / "harness"
    True
    """
    for name in names:
        module = sys.modules.get(name)
        if module is None:
            _load(name)
        elif not _is_ours(module, name):
            origin = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), "the session")
            raise ImportError(
                f"prefrontier has a package named {name!r}, but {origin} is already imported under that name; "
                f"rename it or run prefrontier in a process of its own"
            )


def _is_ours(module: ModuleType, name: str) -> bool:
    return (
        module.__spec__ is not None
        and module.__spec__.origin is not None
        and (Path(module.__spec__.origin).resolve() == HOME / name / "__init__.py")
    )


def _load(name: str) -> None:
    spec = PathFinder.find_spec(name, [str(HOME)])
    if spec is None or spec.loader is None:
        raise ImportError(f"{HOME} holds no package {name!r}; the installation of prefrontier is incomplete")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
