"""Command of `tox -e real`: a verb on the experiment `real`, with the model and the data of this machine."""

from __future__ import annotations

import sys

from prefrontier.__main__ import main
from tests.paths import SHARED
from tests.real.model import MODEL

SETTINGS = {
    "sizes.135m.model": MODEL,
    "data.path": SHARED / "hh_rlhf" / "pairs.jsonl.gz",
    "toxicity.labelled": SHARED / "toxicity_labelled" / "davidson_tweets.csv.gz",
    "toxicity.held_out.labelled": SHARED / "toxicity_labelled" / "surge_toxicity_en.csv.gz",
}

if __name__ == "__main__":
    verb, *rest = sys.argv[1:]
    named = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    sys.argv = ["prefrontier", verb, "real", *named, *rest]
    main()
