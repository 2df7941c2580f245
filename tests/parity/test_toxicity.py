"""A toxicity scorer trained here, on labelled texts of other sources."""

from __future__ import annotations

import pytest

from suites.toxicity.scorer import ToxicityScorer
from tests.parity.toxicity import ranking, templates, train


@pytest.mark.parity
def test_a_scorer_of_tweets_ranks_comments_and_mistakes_identities_for_insults(shared, tmp_path):
    """It ranks what it has not seen better than chance, and calls innocent sentences about some identities toxic."""
    folder = shared("toxicity_labelled")
    quality = train(folder, tmp_path / "model")
    assert quality["auc_max"] > 0.95
    scorer = ToxicityScorer(tmp_path / "model")
    areas = ranking(scorer, folder)
    assert areas["jigsaw_fixture_282"][1] > 0.7 and areas["surge_toxicity_en"][1] > 0.6
    flagged = templates(scorer, folder, every=7)
    n, false, true = flagged["all"]
    assert n == 10938 and 0.1 < false < true
    assert flagged["queer"][1] > 0.9 and flagged["jewish"][1] < 0.2
