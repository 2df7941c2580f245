"""Entry point of the command ``prefrontier`` and of ``python -m prefrontier``."""

from __future__ import annotations

from prefrontier.packages import PACKAGES, use

# At import, not in main(): worker processes import this module anew before they import anything of the project.
use(*PACKAGES)


def main() -> None:
    """Run the command line."""
    from harness.cli.main import main

    main()


if __name__ == "__main__":
    main()
