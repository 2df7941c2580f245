"""A small world for the trainer's tests: words, pairs, models of a few thousand parameters, short methods."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from trainers.config import ModelConfig
from trainers.data.records import Document, Pair
from trainers.methods.interface import Loss, MethodBatch, Needs

WORDS = [f"w{number}" for number in range(30)]
MODEL = ModelConfig("llama", layers=2, hidden=16, heads=2, intermediate=32, context=64)


def sentence(rng: random.Random, low: int, high: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(low, high)))


def make_pairs(n: int, seed: int = 0) -> list[Pair]:
    """Pairs of ragged length; the chosen response uses the first half of the words, the rejected the second."""
    rng = random.Random(seed)
    half = len(WORDS) // 2

    def response(words: list[str]) -> str:
        return " " + " ".join(rng.choice(words) for _ in range(rng.randint(1, 9)))

    return [Pair(f"p{i}", sentence(rng, 1, 12), response(WORDS[:half]), response(WORDS[half:])) for i in range(n)]


def make_corpus(n: int, seed: int = 0) -> list[Document]:
    rng = random.Random(seed)
    return [Document(f"d{i}", sentence(rng, 1, 12), " " + sentence(rng, 1, 9)) for i in range(n)]


@dataclass(frozen=True)
class DPO:
    beta: float = 0.1
    needs: ClassVar[Needs] = Needs(references=1)
    sweep: ClassVar[str] = "beta"

    def loss(self, scores: MethodBatch) -> Loss:
        return Loss(-F.logsigmoid(self.beta * scores.delta), {"margin": scores.delta})


@dataclass(frozen=True)
class KTO:
    beta: float = 0.1
    needs: ClassVar[Needs] = Needs(pairs=False, references=1, mismatched=True, couples_examples=True)
    sweep: ClassVar[str] = "beta"

    def loss(self, scores: MethodBatch) -> Loss:
        baseline = (scores.mismatched - scores.mismatched_reference).mean().clamp(min=0).detach()
        sign = torch.where(scores.desirable, 1.0, -1.0)
        return Loss((1 - torch.sigmoid(self.beta * sign * (scores.log_ratios - baseline))).mean(1), {"z0": baseline})


@dataclass(frozen=True)
class Coupled:
    """Every example's loss depends on all the others' log-probabilities and values, with gradients through both."""

    needs: ClassVar[Needs] = Needs(references=1, rewards=True, values=True, couples_examples=True)
    sweep: ClassVar[str] = "none"

    def loss(self, scores: MethodBatch) -> Loss:
        margins = scores.delta
        advantage = scores.rewards.mean(1) - scores.values
        everyone = torch.sigmoid(margins[:, None] - margins[None, :] + advantage.mean()).mean(1)
        return Loss(everyone + advantage.square(), {"advantage": advantage})


@dataclass(frozen=True)
class ValueOnly:
    """Only the value head has anything to learn."""

    needs: ClassVar[Needs] = Needs(rewards=True, values=True)
    sweep: ClassVar[str] = "none"

    def loss(self, scores: MethodBatch) -> Loss:
        residual = scores.rewards - scores.values[:, None]
        return Loss(residual.square().mean(1), {"value": scores.values})


@dataclass(frozen=True)
class Diverging:
    """A loss that is not a number for one of the examples, from a certain step on."""

    from_step: int
    needs: ClassVar[Needs] = Needs()
    sweep: ClassVar[str] = "from_step"

    def loss(self, scores: MethodBatch) -> Loss:
        losses = -scores.logps[:, 0]
        if scores.step >= self.from_step:
            losses = losses + torch.where(torch.arange(len(losses)) == 1, torch.nan, 0.0)
        return Loss(losses, {})
