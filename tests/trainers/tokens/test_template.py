"""Chat templates: the same tokens in training and generation, one BOS, the end of a turn, and turns kept as written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainers.tokens import families
from tests.trainers.tokens.families import CHAT, CHATML, END_OF_TURN, MISTRAL, THINKING
from trainers.data.encoding import Limits, encode
from trainers.data.rows import DataError
from trainers.tokens.dialogue import as_messages, as_reply, dialogue, plain_prompt
from trainers.tokens.template import encode_checked, end_token, end_tokens, read_response, rendered
from trainers.tokens.text import encode_prompt, encode_texts

USER, ASSISTANT = "user", "assistant"
CONTENT = st.lists(
    st.sampled_from(["how", " are", " you", "\n", "\n\n", "é", "🙂", "</s>", "<|im_end|>", "<start_of_turn>", " ", "<s>"]),
    min_size=1, max_size=6,
).map("".join).filter(str.strip)  # fmt: skip


@st.composite
def conversations(draw):
    """Turns of user and assistant that begin and end with the user."""
    turns = draw(st.lists(CONTENT, min_size=1, max_size=5).filter(lambda turns: len(turns) % 2 == 1))
    return [{"role": (USER, ASSISTANT)[n % 2], "content": content} for n, content in enumerate(turns)]


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    made = {}

    def get(name):
        if name not in made:
            made[name] = families.make(name, tmp_path_factory.mktemp("tokenizer") / "saved")
        return made[name]

    return get


def encoded(tokenizer, prompt, response, **limits):
    """Tokens of a prompt and of its response as training has them."""
    made = encode(["x"], [prompt], [[response]], ("response",), tokenizer, Limits(4096, **limits))
    (start, size), (behind, length) = made.prompts[0], made.responses[0, 0]
    return made.tokens[start : start + size].tolist(), made.tokens[behind : behind + length].tolist()


@pytest.mark.parametrize("name", CHAT)
@settings(max_examples=30, deadline=None)
@given(prompt=conversations(), reply=CONTENT)
def test_training_reads_what_generation_is_asked_and_what_it_writes(family, name, prompt, reply):
    tokenizer = family(name)
    asked, answered = encoded(tokenizer, prompt, [{"role": ASSISTANT, "content": reply}])
    assert asked == encode_checked(tokenizer, prompt)
    end = tokenizer.convert_tokens_to_ids(END_OF_TURN[name])
    assert answered[-1] == end and end not in answered[:-1] and end in end_tokens(tokenizer)
    written = read_response(tokenizer, prompt, answered[:-1])
    trims = "strip()" in tokenizer.chat_template or "trim" in tokenizer.chat_template
    assert written == (reply.strip() if trims else reply)
    # Asked again, what was read is the same tokens.
    again = [{"role": ASSISTANT, "content": written}]
    assert encoded(tokenizer, prompt, again) == (asked, answered)


@pytest.mark.parametrize("name", CHAT)
@settings(max_examples=20, deadline=None)
@given(prompt=conversations())
def test_the_template_decides_the_control_tokens(family, name, prompt):
    tokenizer = family(name)
    plain = [{**turn, "content": "how"} for turn in prompt]
    control = {tokenizer.convert_tokens_to_ids(token) for token in families.CONTROL[1:]}
    found, expected = ([t for t in encode_prompt(tokenizer, turns) if t in control] for turns in (prompt, plain))
    assert found == expected


@pytest.mark.parametrize("name", CHAT)
def test_a_prompt_is_the_librarys_with_one_bos(family, name):
    tokenizer = family(name)
    prompt = [{"role": USER, "content": "how are you ?"}]
    theirs = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False)
    begins = tokenizer("").input_ids
    assert encode_prompt(tokenizer, prompt) == (theirs if theirs[:1] == begins else [*begins, *theirs])
    assert encode_prompt(tokenizer, prompt).count(tokenizer.bos_token_id) == CHAT[name][2]


def test_a_text_ends_with_the_end_of_sequence_and_messages_with_the_end_of_turn(family):
    tokenizer = family("qwen base")
    assert tokenizer.convert_ids_to_tokens(end_token(tokenizer, "how")) == "<|endoftext|>"
    assert encoded(tokenizer, "how", " are")[1][-1] == tokenizer.eos_token_id
    assert end_tokens(tokenizer) == {tokenizer.convert_tokens_to_ids(t) for t in ("<|endoftext|>", "<|im_end|>")}


def test_a_default_system_prompt_is_kept(family):
    text = rendered(family("qwen"), [{"role": USER, "content": "how"}], True).text
    assert text.startswith("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n")


@pytest.mark.parametrize(
    ("template", "prompt", "message"),
    [
        (THINKING, [(USER, "a"), (ASSISTANT, "<think>b</think>c"), (USER, "d")], r"does not write turn 2 \(assistant\)"),
        (MISTRAL, [("system", "s"), (USER, "a"), (ASSISTANT, "b"), (USER, "c")], r"does not write turn 1 \(system\)"),
        (CHATML.replace("messages %}{% if", "messages[-1:] %}{% if"), [(USER, "a"), (ASSISTANT, "b"), (USER, "c")],
         r"does not write turn 1 \(user\)"),
        (CHATML.replace("m.content", "m.content | upper"), [(USER, "How")], r"does not write turn 1 \(user\)"),
        (families.LLAMA_2, [(USER, "a"), (USER, "b")], "refuses the conversation: roles must alternate"),
        ("{{ messages | length }}" + CHATML, [(USER, "a")], "changes the prompt when a response follows"),
    ],
    ids=["thinking", "system in the last turn", "last turn alone", "upper case", "roles", "prefix"],
)  # fmt: skip
def test_a_template_that_rewrites_turns_is_refused_with_the_turn(family, template, prompt, message):
    import copy

    tokenizer = copy.deepcopy(family("qwen"))
    tokenizer.chat_template = template
    turns = [{"role": role, "content": content} for role, content in prompt]
    with pytest.raises(DataError, match=f"example x: the chat template {message}"):
        encoded(tokenizer, turns, [{"role": ASSISTANT, "content": "e"}])


def test_a_template_that_takes_thoughts_out_writes_turns_without_any(family):
    import copy

    tokenizer = copy.deepcopy(family("qwen"))
    tokenizer.chat_template = THINKING
    turns = [{"role": USER, "content": "a"}, {"role": ASSISTANT, "content": "b"}, {"role": USER, "content": "c"}]
    assert encode_checked(tokenizer, turns) == encode_prompt(family("qwen"), turns)


@pytest.mark.parametrize("name", ["llama 2", "gemma", "qwen"])
def test_white_space_that_the_template_leaves_out_is_noticed(family, name):
    loose, tight = ([{"role": USER, "content": text}] for text in ("how ", "how"))
    assert rendered(family(name), loose, True).trimmed == (name != "qwen")
    assert not rendered(family(name), tight, True).trimmed


def test_a_template_with_the_date_gives_the_same_prompt_every_day(family):
    import copy

    tokenizer = copy.deepcopy(family("qwen"))
    tokenizer.chat_template = "{{ strftime_now('%d %b %Y') }}" + CHATML
    assert rendered(tokenizer, [{"role": USER, "content": "how"}], True).text.startswith("26 Jul 2024<|im_start|>")


def test_a_conversation_that_is_too_long_is_left_out_and_counted(family):
    tokenizer = family("qwen")
    turns = [[{"role": USER, "content": text}] for text in ("how", "how are you today ? " * 9)]
    reply = [{"role": ASSISTANT, "content": "fine"}]
    made = encode(["a", "b"], turns, [[reply]] * 2, ("response",), tokenizer, Limits(4096, max_prompt_tokens=60))
    assert made.ids == ["a"] and made.counts["conversations_too_long"] == 1 and not made.counts["prompts_truncated"]


TURNS = st.lists(st.text("ab \n:é", min_size=1).map(str.strip).filter(bool), min_size=1, max_size=5)


@given(turns=TURNS.filter(lambda turns: len(turns) % 2 == 1))
def test_a_transcript_and_its_turns_are_the_same(turns):
    named = [((USER, ASSISTANT)[n % 2], content) for n, content in enumerate(turns)]
    text = dialogue(named)
    assert [(turn["role"], turn["content"]) for turn in as_messages(text)] == named
    assert plain_prompt(as_messages(text)) == text


@pytest.mark.parametrize(
    "text", ["Why?", "\n\nHuman: Why?", "Human: a\n\nAssistant: b", "say \n\nHuman: a\n\nAssistant:", ""]
)
def test_a_text_that_is_no_transcript_is_one_turn(text):
    assert as_messages(text) == [{"role": USER, "content": text}]


def test_messages_without_a_template_are_a_dialogue(tmp_path):
    tokenizer = families.save(families.byte_level(), tmp_path / "saved", None, True, "</s>")
    prompt, reply = [{"role": USER, "content": "how are you ?"}], [{"role": ASSISTANT, "content": "fine"}]
    text = "\n\nHuman: how are you ?\n\nAssistant:"
    assert encoded(tokenizer, prompt, reply) == encoded(tokenizer, text, " fine")
    assert encode_prompt(tokenizer, prompt) == encode_prompt(tokenizer, text)
    assert read_response(tokenizer, prompt, encode_texts(tokenizer, [" fine"])[0]) == "fine"
    assert as_reply(text, " fine") == reply
