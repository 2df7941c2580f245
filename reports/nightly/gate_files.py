"""The verdict as files: Markdown for people, JUnit XML for CI systems, CSV for everything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from reports.nightly.differences import ALPHA, Difference, Level
from reports.nightly.drift import ALARM
from reports.nightly.frontier_changes import HYPERVOLUME
from reports.nightly.gate import WARN_ALPHA, Gate, Sensitivity
from reports.page.csv_files import csv_text
from reports.page.markdown import code, escape
from reports.text import number
from trainers.files import replacing

LISTED = 8
FILES = ("summary.md", "junit.xml", "differences.csv")


def write(result: Gate, folder: Path) -> str:
    """Write `summary.md`, `junit.xml` and `differences.csv`, each whole or not at all; returns the summary."""
    folder.mkdir(parents=True, exist_ok=True)
    text = summary(result)
    for name, content in zip(FILES, (text, junit(result), csv_text(frame(result))), strict=True):
        with replacing(folder / name) as temporary:
            temporary.write_text(content, encoding="utf-8", newline="")
    return text


def frame(result: Gate) -> pd.DataFrame:
    """All differences, one row each, in a stable order."""
    names = [field.name for field in fields(Difference)]
    rows = [
        {name: getattr(row, name) for name in names} | {"noise_floors": row.floors, "verdict": row.word}
        for row in result.differences
    ]
    return pd.DataFrame(rows, columns=[*names, "noise_floors", "verdict"]).astype({"level": str})


def summary(result: Gate) -> str:
    """The night in Markdown: what was measured, the verdict, how to reproduce the worst, then the evidence."""
    sections = [
        f"measured {result.measured} of {len(result.planned)} cells",
        f"# {result.verdict.value.upper()}: {_headline(result)}",
        f"Reproduce the worst: {code(result.command)}" if result.command else "",
        _unmeasured(result),
        _differences("Failed", result.at(Level.FAIL)),
        _differences("Not measured on every item", result.at(Level.UNMEASURED)),
        _differences("Warnings", result.at(Level.WARN)),
        _frontier(result),
        _drift(result),
        _sensitivity(result),
        _list("What differs from the baseline's run", list(map(escape, result.changes))),
        _list("Notes", [*map(escape, [*result.notes, *_new(result)]), *_rates(result)]),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _headline(result: Gate) -> str:
    counts = {level: len(result.at(level)) for level in Level}
    better = sum(row.word == "better" for row in result.differences)
    parts = (
        [f"{len(result.planned) - result.measured} of {len(result.planned)} cells not measured"]
        if result.unmeasured
        else []
    )
    if not result.differences:
        return "; ".join(parts)
    parts += [f"{counts[Level.FAIL]} of {len(result.differences)} differences failed"]
    parts += [f"{counts[Level.UNMEASURED]} could hide a loss in missing items"] if counts[Level.UNMEASURED] else []
    warned = counts[Level.WARN]
    parts += [f"{warned} warned"]
    parts += [f"{len(result.drift)} drifting"] if result.drift else []
    parts += [f"{better} better"] if better else []
    return ", ".join(parts)


def _differences(title: str, rows: list[Difference]) -> str:
    if not rows:
        return ""
    lines = [
        f"## {title}",
        "",
        "| what | size | objective | baseline → run | difference (95 %) | noise floors | p (Holm) | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        has_interval = row.low is not None and row.high is not None
        interval = f" [{_signed(row.low)}, {_signed(row.high)}]" if has_interval else ""
        floors = "–" if row.floors is None else f"{row.floors:.1f}"
        words = escape(f"{row.word}{f', {row.note}' if row.note else ''}")
        label, size, objective = map(escape, (row.label, row.size, row.objective))
        lines.append(
            f"| {label} | {size} | {objective} ({row.direction}) | {number(row.baseline)} → {number(row.run)} "
            f"| {_signed(row.difference)}{interval} | {floors} | {_p(row.p_holm)} | {words} |"
        )
    return "\n".join(lines)


def _frontier(result: Gate) -> str:
    volumes = [row for row in result.differences if row.objective == HYPERVOLUME]
    if not volumes:
        return ""
    parts = [_differences("Frontier", volumes)]
    for member in result.membership:
        change = "left" if member.was else "joined"
        sure = "" if member.level is Level.OK else " (warning)"
        parts.append(
            f"- {escape(member.label)}, {escape(member.size)} {change} the non-dominated set{sure}: probability of membership "
            f"{member.probability_was:.2f} → {member.probability_now:.2f}"
        )
    return "\n".join([parts[0], *([""] if len(parts) > 1 else []), *parts[1:]])


def _drift(result: Gate) -> str:
    return _list(
        "Drift over nights",
        [
            f"{escape(f'{step.label}, {step.size}, {step.objective}')}: {number(step.before)} → {number(step.after)} since {step.since} "
            f"(p = {_p(step.p)})"
            for step in result.drift
        ],
    )


def _sensitivity(result: Gate) -> str:
    if not result.sensitivity:
        return ""
    lines = [
        "## What this night could see",
        "",
        "| size | objective | noise floor | measured from | loss that fails with 80 % probability |",
        "|---|---|---|---|---|",
    ]
    for row in result.sensitivity:
        if row.floor:
            floor, source = number(row.floor.value), row.floor.source
        else:
            floor, source = "–", "unknown: one figure, one seed"
        size, objective = escape(row.size), escape(row.objective)
        lines.append(f"| {size} | {objective} | {floor} | {escape(source)} | {_seen(row)} |")
    return "\n".join(lines)


def _seen(row: Sensitivity) -> str:
    """The losses that could have failed, and of how many rows none could."""
    if row.detectable is None:
        return "no loss this night could fail" if row.blind else "–"
    span = number(row.detectable)
    if row.smallest is not None and number(row.smallest) != span:
        span = f"{number(row.smallest)} to {span}"
    return span + (f"; in {row.blind} of {row.rows} rows no loss this night could fail" if row.blind else "")


def _unmeasured(result: Gate) -> str:
    lines = [f"{escape(f'{lack.cell}: {lack.why}')} ({code(lack.command)})" for lack in result.unmeasured[:LISTED]]
    more = len(result.unmeasured) - LISTED
    return _list("Not measured", lines + ([f"and {more} more, all in junit.xml"] if more > 0 else []))


def _new(result: Gate) -> list[str]:
    if not result.new:
        return []
    names = ", ".join(result.new[:LISTED]) + (" ..." if len(result.new) > LISTED else "")
    return [f"{len(result.new)} cells are not in the baseline and were compared with nothing: {names}."]


def _rates(result: Gate) -> list[str]:
    thresholds = result.thresholds
    nights = ", ".join(
        f"{escape(name or 'every objective')}: {count} nights in a row" for name, count in thresholds.nights.items()
    )
    return [
        f"Fail: worse with p < {ALPHA:g} after Holm's adjustment over {result.tests} tests, and by at least {thresholds.fail:g} noise floors"
        f"{f', for {nights}' if nights else ''}. When nothing has changed, at most {ALPHA / 2:.1%} of nights fail.",
        f"Warn: p < {WARN_ALPHA:g} after the same adjustment, and by at least {thresholds.warn:g} noise floors. When nothing has changed, "
        f"at most {WARN_ALPHA / 2:.0%} of nights warn of a difference.",
        f"Drift: at most {ALARM:.0%} of nights show any when nothing has changed.",
    ]


def _list(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"## {title}", "", *(f"- {line}" for line in lines)]) if lines else ""


def _signed(value: float | None) -> str:
    return f"+{number(value)}" if value is not None and value > 0 else number(value)


def _p(value: float | None) -> str:
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def junit(result: Gate) -> str:
    """JUnit XML: a suite for the cells and one for each objective; a warning is a passed case with its text."""
    suites = [("cells", [_cell_case(cell, result) for cell in result.planned])]
    for objective in dict.fromkeys(row.objective for row in result.differences):
        rows = [row for row in result.differences if row.objective == objective]
        suites.append((objective, [(f"{row.label}, {row.size}", *_outcome(row)) for row in rows]))
    root = ElementTree.Element("testsuites", name="prefrontier gate")
    totals = {"tests": 0, "failures": 0, "errors": 0}
    for name, cases in suites:
        counts = {
            "tests": len(cases),
            "failures": sum(kind == "failure" for _, kind, _ in cases),
            "errors": sum(kind == "error" for _, kind, _ in cases),
        }
        attributes = {"name": name, "skipped": "0"} | {key: str(count) for key, count in counts.items()}
        suite = ElementTree.SubElement(root, "testsuite", attributes)
        for case, kind, text in cases:
            element = ElementTree.SubElement(suite, "testcase", classname=f"gate.{name}", name=case)
            if kind in ("failure", "error"):
                ElementTree.SubElement(element, kind, message=text)
            elif text:
                ElementTree.SubElement(element, "system-out").text = text
        totals = {key: totals[key] + counts[key] for key in totals}
    for key, count in totals.items():
        root.set(key, str(count))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _cell_case(cell: str, result: Gate) -> tuple[str, str, str]:
    whys = [lack.why for lack in result.unmeasured if lack.cell == cell]
    return cell, "error" if whys else "passed", _clean("; ".join(whys))


def _outcome(row: Difference) -> tuple[str, str]:
    kind = {Level.FAIL: "failure", Level.UNMEASURED: "error"}.get(row.level, "passed")
    if row.level is Level.OK:
        return kind, ""
    floors = "" if row.floors is None else f", {row.floors:.1f} noise floors"
    note = f" ({row.note})" if row.note else ""
    return kind, _clean(
        f"{row.level.value}: {number(row.baseline)} -> {number(row.run)}{floors}, p {_p(row.p_holm)}{note}; {row.command}"
    )


def _clean(text: str) -> str:
    """Without the control characters that XML 1.0 has no way to write."""
    return "".join(letter for letter in text if letter >= " " or letter in "\t\n")
