"""Forms of preference data: comments with scores, ranked replies and conversations, as pairs or left out with a reason."""

from __future__ import annotations

import json
import random

import pytest

from trainers.data.forms import forms
from trainers.data.forms.shp import PAIRS_PER_POST
from trainers.data.records import read_mixture, read_pairs


def comment(post, a, b, label=1, scores=(10, 2)):
    return {
        "post_id": post, "c_root_id_A": a, "c_root_id_B": b, "history": f"Post {post}", "human_ref_A": f"text {a}",
        "human_ref_B": f"text {b}", "labels": label, "score_A": scores[0], "score_B": scores[1],
    }  # fmt: skip


def message(identifier, parent, role="assistant", rank=None, lang="en"):
    return {
        "message_id": identifier,
        "parent_id": parent,
        "role": role,
        "text": f"T{identifier}",
        "rank": rank,
        "lang": lang,
    }


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_shp_prefers_the_labelled_comment_and_wants_twice_the_score(tmp_path):
    rows = [
        comment("p", "a", "b"),
        comment("q", "c", "d", label=0, scores=(2, 4)),
        comment("r", "e", "f", scores=(3, 2)),
    ]
    pairs = read_mixture([(write(tmp_path / "shp.jsonl", rows), "train", "shp")])
    assert {(p.prompt, p.chosen, p.rejected) for p in pairs} == {
        ("\n\nHuman: Post p\n\nAssistant:", " text a", " text b"),
        ("\n\nHuman: Post q\n\nAssistant:", " text d", " text c"),
    }
    assert pairs.dropped == {"score ratio below 2": 1}


def test_shp_gives_five_pairs_of_a_post_whatever_the_order(tmp_path):
    rows = [comment("p", f"a{n}", f"b{n}") for n in range(9)] + [comment("q", "x", "y")]
    kept = []
    for order in range(3):
        random.Random(order).shuffle(rows)
        pairs = read_mixture([(write(tmp_path / "shp.jsonl", rows), "train", "shp")])
        assert pairs.dropped == {"beyond 5 pairs of one post": 9 - PAIRS_PER_POST}
        kept.append([pair.id for pair in pairs])
    assert kept[0] == kept[1] == kept[2] and len(kept[0]) == PAIRS_PER_POST + 1


def turns(*contents, roles=("user", "assistant")):
    return [{"role": roles[n % 2], "content": content} for n, content in enumerate(contents)]


def test_messages_stay_messages_whichever_way_the_prompt_is_given(tmp_path):
    system = {"role": "system", "content": "Be kind."}
    answers = [turns(text, roles=("assistant",)) for text in ("good", "bad")]
    rows = [
        {"id": "whole", "prompt": "Q", "chosen": turns("Q", "good"), "rejected": turns("Q", "bad")},
        {"prompt": "Q", "chosen": answers[0], "rejected": answers[1]},
        {"prompt": [system, *turns("Q", "A", "R")], "chosen": answers[0], "rejected": answers[1]},
        {"chosen": turns("Q", "good"), "rejected": turns("Z", "bad")},
        {"chosen": answers[0], "rejected": answers[1]},
        {"prompt": "Q", "chosen": [{"role": "narrator", "content": "x"}], "rejected": answers[1]},
        {"prompt": "Q", "chosen": " text", "rejected": " other"},
    ]
    pairs = read_mixture([(write(tmp_path / "chat.jsonl", rows), "train", "messages")], on_invalid="drop")
    expected = [
        (turns("Q"), *answers), (turns("Q"), *answers), ([system, *turns("Q", "A", "R")], *answers),
        ("Q", " text", " other"),
    ]  # fmt: skip
    assert sorted(((p.prompt, p.chosen, p.rejected) for p in pairs), key=str) == sorted(expected, key=str)
    assert "whole" in {pair.id for pair in pairs}
    assert pairs.dropped == {
        "chosen and rejected answer different prompts": 1,
        "no 'prompt'": 1,
        "text and messages are mixed": 1,
    }


def test_oasst_pairs_neighbours_in_rank_under_the_whole_path(tmp_path):
    rows = [
        message("q", None, "prompter"),
        message("r2", "q", rank=2),
        message("r0", "q", rank=0),
        message("r1", "q", rank=1),
        message("unranked", "q"),
        message("q2", "r0", "prompter"),
        message("s1", "q2", rank=1),
        message("s0", "q2", rank=0),
        message("de", "q2", rank=2, lang="de"),
        message("orphan1", "gone", rank=1),
        message("orphan0", "gone", rank=0),
    ]
    pairs = read_mixture([(write(tmp_path / "oasst.jsonl", rows), "train", "oasst")])
    found = {pair.id.removeprefix("oasst/"): pair for pair in pairs}
    assert set(found) == {"r0/r1", "r1/r2", "s0/s1"}
    assert found["s0/s1"].prompt == "\n\nHuman: Tq\n\nAssistant: Tr0\n\nHuman: Tq2\n\nAssistant:"
    assert (found["r1/r2"].chosen, found["r1/r2"].rejected) == (" Tr1", " Tr2")
    # the best of each group, the unranked reply, and the two whose prompt is not there
    assert pairs.dropped == {"no sibling ranked one place better": 5, "not English": 1}


def test_a_mixture_interleaves_its_sources(tmp_path):
    shp = write(tmp_path / "shp.jsonl", [comment(f"p{n}", "a", "b") for n in range(60)])
    hh = write(tmp_path / "hh.jsonl", [{"prompt": f"\n\nHuman: {n}\n\nAssistant:", "chosen": " y", "rejected": " n"} for n in range(60)])  # fmt: skip
    sources = [(hh, "train", "pairs"), (shp, "train", "shp")]
    pairs = read_mixture(sources)
    assert len(pairs) == 120 and pairs == read_mixture(sources[::-1])
    assert 10 < sum(pair.id.startswith("shp/") for pair in pairs[:40]) < 30
    assert sorted(p.id for p in pairs if not p.id.startswith("shp")) == sorted(p.id for p in read_pairs(hh))


def test_bad_rows_of_a_mixture_are_told_by_file_and_line(tmp_path):
    rows = [comment("p", "a", "b") | {"human_ref_A": " "}]
    file = write(tmp_path / "shp.jsonl", rows)
    with pytest.raises(ValueError, match=r"shp.jsonl:1: empty 'human_ref_A'"):
        read_mixture([(file, "train", "shp")])
    with pytest.raises(ValueError, match="unknown form of data 'shq'; did you mean 'shp'"):
        read_mixture([(file, "train", "shq")])
    (tmp_path / "x.jsonl").write_text('{"lang": "en"}\n')
    for form in ("shp", "oasst"):
        with pytest.raises(ValueError, match="x.jsonl:1: no 'chosen': the row has lang"):
            read_mixture([(tmp_path / "x.jsonl", "train", form)])
    assert {"pairs", "messages", "shp", "oasst"} <= set(forms())
