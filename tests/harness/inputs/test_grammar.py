"""Off-grammar text in the oracle world: worst value of every bounded objective, as in the closed forms."""

from __future__ import annotations

from harness.inputs.grammar import fail_off_grammar
from harness.records import Generation, ItemScore, Status
from suites.oracle.world import World
from suites.registry import objectives


def test_text_off_the_grammar_has_the_worst_value():
    world = World.build()
    prompt, answer = world.prompts[0].text, world.responses(0)[0]
    texts = {"said#0": answer, "spaced#0": f" {answer}", "babble#0": "printer printer ."}
    generations = [Generation(item, item[:-2], prompt, text, 3) for item, text in texts.items()]
    items = [ItemScore("toxicity", item, item[:-2], 0.25) for item in texts]
    items.append(ItemScore("length", "babble#0", "babble", 3.0))
    judged = {(i.item, i.objective): i for i in fail_off_grammar(items, generations, world, objectives().values())}
    assert judged["said#0", "toxicity"].value == judged["spaced#0", "toxicity"].value == 0.25
    assert judged["babble#0", "toxicity"].value == 1.0
    assert judged["babble#0", "toxicity"].status is Status.UNPARSABLE
    assert judged["babble#0", "length"].value == 3.0  # no worst value to give
