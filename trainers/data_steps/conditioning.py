"""Conditions at the end of a prompt that select the kind of response.

Training and generation both call `conditioned`, so a policy generates under the condition of its training data.
"""

from __future__ import annotations

from trainers.data.records import Text


def conditioned(prompt: Text, condition: str) -> Text:
    """The prompt with the condition at its end, where no truncation of long prompts takes it away.

    Examples
    --------
    >>> conditioned("who is it ?", " <|good|>")
    'who is it ? <|good|>'
    >>> conditioned([{"role": "user", "content": "who is it ?"}], " <|good|>")
    [{'role': 'user', 'content': 'who is it ? <|good|>'}]
    """
    if isinstance(prompt, str):
        return prompt + condition
    *before, last = prompt
    return [*before, {**last, "content": last["content"] + condition}]
