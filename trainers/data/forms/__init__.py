"""One file per form of preference data: the columns that it is recognised by, and the way from its rows to pairs.

Every module of this package is imported here, so that a new file registers itself by existing. A file that cannot be
imported is listed in ``FORMS.broken``.
"""

from trainers.data.forms.form import (
    FORMS,
    Draft,
    Form,
    Outcome,
    create,
    forms,
    note_of,
    pairs_of,
    register,
    terms_of,
    title_of,
)

FORMS.import_files(__name__, __path__)

__all__ = [
    "FORMS", "Draft", "Form", "Outcome", "create", "forms", "note_of", "pairs_of", "register", "terms_of", "title_of",
]  # fmt: skip
