"""Files of results: responses and scores of models that were run elsewhere, by the form of the file.

Every module but `result`, `form` and `files` is one form. A file's form is recognised by its first row; a module that
registers one is found by itself.
"""

from harness.inputs.results.form import forms, read_results
from harness.inputs.results.result import Result

__all__ = ["Result", "forms", "read_results"]
