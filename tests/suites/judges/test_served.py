"""Served models as generators: every sample is one of its own."""

from __future__ import annotations

from suites.generation.decoding import Decoding
from suites.judges.remote.terms import Endpoint
from suites.judges.served import ServedModel
from tests.suites.judges.conftest import Answer, completion

PROMPTS = {name: [{"role": "user", "content": f"Question {name}?"}] for name in "ab"}


def test_samples_of_a_prompt_have_seeds_of_their_own_and_none_is_asked_twice(server, tmp_path):
    server.script = lambda request, n: Answer(completion(f"{request['messages'][0]['content']} {request['seed']}"))
    model = ServedModel("m", Endpoint(server.base_url), tmp_path)
    drawn = {seed: model.generate(PROMPTS, Decoding(8, samples=3, seed=seed))[0] for seed in (0, 1)}
    texts = [row.response for rows in drawn.values() for row in rows]
    assert len(set(texts)) == len(texts) == len(server.requests) == 12
    assert model.generate(PROMPTS, Decoding(8, samples=3, seed=1))[0] == drawn[1] and len(server.requests) == 12
