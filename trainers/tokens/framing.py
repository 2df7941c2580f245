"""Text around a prompt: an instruction or examples in front of it, a condition behind it."""

from __future__ import annotations

from dataclasses import dataclass

from trainers.tokens.dialogue import Text


@dataclass(frozen=True)
class Frame:
    """Text around a prompt, the same for training, generation and exact scoring.

    Parameters
    ----------
    prefix : str
        In front of a plain prompt, as it is; the system message of a conversation, in front of one that it has.
    suffix : str
        Behind a plain prompt, as it is; at the end of a conversation's last message.
    """

    prefix: str = ""
    suffix: str = ""


def framed(prompt: Text, frame: Frame) -> Text:
    r"""The prompt within its frame; the empty frame leaves a prompt as it is.

    Examples
    --------
    >>> framed("who is it ?", Frame("be polite . ", " !"))
    'be polite . who is it ? !'
    >>> framed([{"role": "user", "content": "Who?"}], Frame("Be polite."))
    [{'role': 'system', 'content': 'Be polite.'}, {'role': 'user', 'content': 'Who?'}]
    >>> framed([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}], Frame("Be polite."))[0]
    {'role': 'system', 'content': 'Be polite.\n\nBe brief.'}
    """
    if frame == Frame():
        return prompt
    if isinstance(prompt, str):
        return frame.prefix + prompt + frame.suffix
    messages = list(prompt)
    if frame.prefix and messages[0]["role"] == "system":
        messages[0] = {**messages[0], "content": f"{frame.prefix}\n\n{messages[0]['content']}"}
    elif frame.prefix:
        messages.insert(0, {"role": "system", "content": frame.prefix})
    *before, last = messages
    return [*before, {**last, "content": last["content"] + frame.suffix}] if frame.suffix else messages
