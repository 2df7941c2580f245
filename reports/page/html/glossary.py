"""Definitions of the report's terms, linked where a term first appears."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from reports.text import file_name

DEFINITIONS: dict[str, tuple[str, str]] = {
    "cell": (r"cells?", "One training run: a configuration at one model size with one seed."),
    "configuration": (r"configurations?", "One method with one value of its swept hyperparameter, over all seeds."),
    "hypervolume": (
        r"hypervolumes?",
        "Volume of the objective space that a method's configurations dominate, measured from the reference point. Larger is better.",
    ),
    "reference point": (
        r"reference point",
        "Values, stated by the experiment, that count as worst acceptable; hypervolume is measured from there.",
    ),
    "true frontier": (
        r"true frontier",
        "The best attainable trade-offs at a KL budget, computed exactly by enumerating all responses of the synthetic world.",
    ),
    "frontier": (
        r"frontiers?",
        "The non-dominated configurations: no other one is at least as good on every objective and better on one.",
    ),
    "gap": (
        r"gaps?",
        "Shortfall of a policy in weighted value from the true frontier at the same KL divergence. 0 is optimal.",
    ),
    "equal budget": (r"equal budget", "Every method's best setting is taken among the same number of settings."),
    "KL": (
        r"KL",
        "Kullback–Leibler divergence of the policy from the behaviour policy μ, in nats: how far training moved it.",
    ),
    "not separable": (
        r"not separable",
        "The data do not show which of the two is larger. It does not mean that they are equal.",
    ),
    "adjusted p": (
        r"adjusted p",
        "p-value after correction for the number of comparisons made; below 0.05 the difference is called significant.",
    ),
    "joint draws": (
        r"joint draws?",
        "Resamples in which seeds and prompts are redrawn together, with the same draw for every configuration.",
    ),
    "optimism": (r"optimism", "How much better a set looks on the prompts that chose it than on other prompts."),
    "win rate": (
        r"win rate",
        "Share of prompts on which the judge prefers the policy's response to the reference response; a tie counts ½.",
    ),
    "likelihood displacement": (
        r"likelihood displacement",
        "Training lowers the log-probability of the chosen responses too, and mass moves to other text.",
    ),
    "advantage": (r"advantage", "Reward of a response less the value V(x) predicted for its prompt."),
    "Kendall's τ": (r"Kendall(?:&#39;|')s τ", "Rank correlation of two orders: 1 is the same order, −1 the reverse."),
    "attainment": (
        r"attainment",
        "The trade-offs that a given share of the joint draws reaches at least; a band shows 25 to 75 % of them.",
    ),
}
"""By term, the pattern that finds it and its definition. A longer term stands before a shorter one that it contains."""


@dataclass
class Glossary:
    """The terms of one page, in the order of their first appearance."""

    used: dict[str, str] = field(default_factory=dict)

    def define(self, text: str) -> Markup:
        """Escaped text in which the first appearance of each term links to its definition.

        Examples
        --------
        >>> glossary = Glossary()
        >>> print(glossary.define("a <cell>"))
        a &lt;<a class="term" href="#term-cell" data-def="One training run: ...">cell</a>&gt;
        >>> print(glossary.define("another cell"))
        another cell
        """
        plain, parts = str(escape(text)), []
        matches = sorted(
            (match.start(), -match.end(), term, match)
            for term, (pattern, _) in DEFINITIONS.items()
            if term not in self.used and (match := re.search(rf"(?<![\w&]){pattern}(?!\w)", plain, re.IGNORECASE))
        )
        end = 0
        for start, _, term, match in matches:
            if start < end or term in self.used:
                continue
            self.used[term] = DEFINITIONS[term][1]
            definition = escape(DEFINITIONS[term][1])
            link = f'<a class="term" href="#{self.anchor(term)}" data-def="{definition}">{match[0]}</a>'
            parts += [plain[end:start], link]
            end = match.end()
        return Markup("".join([*parts, plain[end:]]))

    @staticmethod
    def anchor(term: str) -> str:
        """The id of a term's entry.

        Examples
        --------
        >>> Glossary.anchor("true frontier")
        'term-true-frontier'
        """
        return file_name("term", term)
