"""Files that are no plain experiment are refused in one line, whatever they hold."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.spec.loading import load
from harness.spec.yaml_files import LARGEST_FILE, parse_yaml, read_yaml, write_yaml

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 25))
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 60))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds: [1]\nname: x\nseeds: [2]", r":3: .*'seeds' is already in line 1"),
        ("methods: {dpo: {}, dpo: null}", r":1: .*'dpo' is already in line 1"),
        (BOMB, "more than 100,000 values"),
        (CHAIN, "nested deeper than 32 levels"),
        ("a: &a [*a]", "nested deeper than 32 levels"),
        ("[" * 40 + "]" * 40, "nested deeper than 32 levels"),
        ("[" * 5000, "nested deeper than 32 levels"),
        ("{1: x}", "the key '1' is no text; quote it"),
        ("no: x", "the key 'no' is no text"),
        ("{[a]: x}", "the key that is a collection is no text"),
        ("a: .nan", "a: NaN is no value"),
        ("a: {b: [0, 1000000000000000000000000000000]}", r"a\.b\.1: a whole number of 31 digits is too large"),
        ("a: " + "9" * 5000, "not valid YAML"),
        ('title: "\\e[2J"', "title: holds the control character '.x1b'"),
        ('title: "\\ud800"', "title: holds the control character|not valid YAML"),
        ("a: !!binary aGk=", "a: should be text, a number"),
        ("a: !!set {b}", "a: should be text, a number"),
        ("a: !!timestamp 2001-01-01", "a: should be text, a number"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: b\n---\nc: d", "found another document"),
        ("a: \x00", "not valid YAML"),
        ("\t- a", "not valid YAML"),
    ],
)
def test_a_file_that_is_refused(text, message, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message) as error:
        read_yaml(file)
    assert "\n" not in str(error.value) and str(error.value).startswith(str(file))


def test_what_is_no_file(tmp_path):
    folder = tmp_path / "folder.yaml"
    folder.mkdir()
    with pytest.raises(UsageError, match="a folder; an experiment is one"):
        load(str(folder))
    with pytest.raises(UsageError, match="no such file|cannot be read"):
        load("a\0b.yaml")
    with pytest.raises(UsageError, match="no such file|cannot be read"):
        load("a" * 5000 + ".yaml")
    large = tmp_path / "large.yaml"
    large.write_text("a: " + "x" * LARGEST_FILE)
    with pytest.raises(UsageError, match="larger than 256 KiB"):
        load(str(large))


@pytest.mark.parametrize("text", ["5e-7", "5E-7", "5.0e-7", "+5e-7", ".0000005"])
def test_a_number_with_an_exponent_is_a_number(text):
    assert parse_yaml(f"rate: {text}", "x") == {"rate": 5e-7}


def test_scalars_have_the_types_of_the_newer_standard():
    values = parse_yaml("[1:30, 2001-01-01, 0x10, 010, 1_000, true, ~, .inf, -3]", "x")
    assert values == ["1:30", "2001-01-01", 16, "010", "1_000", True, None, math.inf, -3]


def test_a_byte_order_mark_is_skipped(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_bytes(b"\xef\xbb\xbfname: x")
    assert read_yaml(file) == {"name": "x"}


def test_an_override_of_a_shared_value_changes_no_other(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("extends: bench\nname: mine\nmethods: {a: &x {method: dpo, parameters: {beta: 0.1}}, b: *x}\n")
    experiment = load(str(file), ["methods.a.parameters.beta=0.5"])
    assert experiment.methods["a"].parameters == {"beta": 0.5} and experiment.methods["b"].parameters == {"beta": 0.1}


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False)
    | st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]))
    | st.sampled_from(["1e5", "no", "null", "1:30", "2001-01-01", "~", "010", ".inf", "0x1", "=", "<<", "- a", "a: b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abn1-: ", max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(plain)
def test_what_is_written_is_read_back(value):
    assert parse_yaml(write_yaml(value), "x") == value
