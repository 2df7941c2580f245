"""The report as one HTML file without external resources."""

from reports.page.html.page import render

__all__ = ["render"]
