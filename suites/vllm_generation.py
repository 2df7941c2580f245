"""Generation by vLLM, an optional extra, behind the protocol of `suites.generation`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.records import Generation, Status
from suites.decoding import Decoding, uniforms
from suites.generation import Prompt, encode_prompt, prompt_text


class VLLMGenerator:
    """The same protocol on vLLM (extra ``vllm``), seeded per prompt and trial.

    vLLM draws its own random numbers, so its samples differ from the Hugging Face backend's in
    everything but distribution; greedy ones agree up to numerical noise.
    """

    def __init__(self, checkpoint: Path | str, **engine) -> None:
        try:
            from vllm import LLM
        except ImportError as error:
            raise ValueError("vLLM is not installed: pip install 'prefrontier[vllm]'") from error
        self.llm = LLM(model=str(checkpoint), **engine)

    def generate(self, prompts: Mapping[str, Prompt], decoding: Decoding) -> list[Generation]:
        """One generation per prompt and trial, in the order of `prompts`."""
        from vllm import SamplingParams

        tokenizer = self.llm.get_tokenizer()
        rows = [(key, trial) for key in prompts for trial in range(decoding.samples)]
        outputs = self.llm.generate(
            [{"prompt_token_ids": encode_prompt(tokenizer, prompts[key])} for key, _ in rows],
            [
                SamplingParams(
                    max_tokens=decoding.max_new_tokens,
                    temperature=decoding.temperature,
                    top_p=decoding.top_p,
                    seed=int(uniforms(decoding, key, trial)[0] * 2**31),
                )
                for key, trial in rows
            ],
            use_tqdm=False,
        )
        generations = []
        for (key, trial), output in zip(rows, outputs, strict=True):
            answer = output.outputs[0]
            ended = Status.OK if answer.finish_reason == "stop" else Status.TRUNCATED
            status = ended if answer.text.strip() else Status.EMPTY
            text = prompt_text(tokenizer, prompts[key])
            generations.append(
                Generation(f"{key}#{trial}", key, text, answer.text, len(answer.token_ids), status, trial)
            )
        return generations
