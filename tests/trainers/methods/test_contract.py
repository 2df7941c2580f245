"""Contract of methods, checked for every file of the package.

Each test runs over the registry, and for methods that do not need pairs over unpaired batches too.
"""

from __future__ import annotations

import itertools
from dataclasses import FrozenInstanceError, fields, replace
from functools import partial

import pytest
import torch

from tests.trainers.methods.conftest import policy_of, with_token_logps
from trainers.methods import create, methods
from trainers.methods.interface import MethodBatch, Tokens

NAMES = list(methods())
CASES = [(name, 2) for name in NAMES] + [
    (name, 1) for name in NAMES if not (create(name).needs.pairs or create(name).needs.on_policy)
]
PER_TOKEN = [case for case in CASES if create(case[0]).needs.token_level]
over_methods = pytest.mark.parametrize("name", NAMES)
over_cases = pytest.mark.parametrize(("name", "responses"), CASES)


def tensors(batch: MethodBatch | Tokens) -> dict[str, torch.Tensor]:
    return {f.name: getattr(batch, f.name) for f in fields(batch) if torch.is_tensor(getattr(batch, f.name))}


def select(batch: MethodBatch, rows) -> MethodBatch:
    """The sub-batch of the given examples; `references` has its examples second."""
    chosen = {name: t[:, rows] if name == "references" else t[rows] for name, t in tensors(batch).items()}
    if batch.tokens is not None:
        chosen["tokens"] = replace(batch.tokens, **{name: t[rows] for name, t in tensors(batch.tokens).items()})
    return replace(batch, **chosen)


@over_methods
def test_defaults_frozen_and_sweep(name):
    method = create(name)
    if method.sweep is not None:
        assert isinstance(getattr(method, method.sweep), float)
        with pytest.raises(FrozenInstanceError):
            setattr(method, method.sweep, 0.5)


@over_methods
def test_docstring_states_formula_source_memory_cost_and_log_probs(name):
    cls, method = methods()[name], create(name)
    for label in ("Formula:", "Source:", "From memory:", "Cost:"):
        assert label in cls.__doc__, f"{name}: the docstring lacks {label}"
    assert "SUM" in cls.__doc__ or "MEAN" in cls.__doc__
    assert method.log_probs.startswith(("SUM", "MEAN"))
    for field in fields(cls):
        assert field.name in cls.__doc__, f"{name}: the docstring does not explain {field.name}"


@over_cases
def test_one_finite_loss_per_example_and_detached_metrics(name, responses, make_batch):
    batch = make_batch(create(name), responses=responses)
    loss = create(name).loss(batch)
    assert loss.per_example.shape == (6,) and loss.per_example.dtype == torch.float64
    assert loss.per_example.isfinite().all()
    for metric, value in loss.metrics.items():
        assert torch.is_tensor(value) and not value.requires_grad and value.isfinite().all(), metric


@over_cases
def test_gradient_reaches_log_probs(name, responses, make_batch, gradient):
    method = create(name)
    assert gradient(method, make_batch(method, responses=responses)).abs().sum() > 0


@over_cases
@pytest.mark.parametrize("level", [0.0, 1e3], ids=["ties", "extreme"])
@pytest.mark.parametrize("flat_rewards", [False, True], ids=["rewards vary", "rewards equal"])
def test_finite_at_extremes(name, responses, level, flat_rewards, make_batch, gradient):
    """Log-ratios of ±1000 in every combination of signs, and exact ties, in single precision."""
    method = create(name)
    columns = 3 if method.needs.base_responses else responses
    signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=columns)))
    examples = len(signs)
    given = {"logps": -2000 + level * signs}
    if method.needs.references:
        held = torch.full_like(signs, -2000)
        given |= {"reference": held} if method.needs.references == 1 else {"references": held.expand(2, -1, -1)}
    if method.needs.rewards and flat_rewards:
        given["rewards"] = torch.full_like(signs, 0.5)
    batch = make_batch(method, examples=examples, responses=responses, dtype=torch.float32, **given)
    assert method.loss(batch).per_example.isfinite().all()
    assert gradient(method, batch).isfinite().all()


@over_cases
def test_batch_of_one(name, responses, make_batch, gradient):
    """A single example has no mismatched response, no spread and no neighbour."""
    method = create(name)
    batch = make_batch(method, examples=1, responses=responses, mismatched=None, mismatched_reference=None)
    assert method.loss(batch).per_example.isfinite().all()
    assert gradient(method, batch).isfinite().all()


@pytest.mark.parametrize("label", [True, False])
@pytest.mark.parametrize("name", [name for name, responses in CASES if responses == 1])
def test_batch_of_one_class(name, label, make_batch, gradient):
    method = create(name)
    batch = make_batch(method, responses=1, desirable=torch.full((6, 1), label))
    assert method.loss(batch).per_example.isfinite().all()
    assert gradient(method, batch).isfinite().all()


@over_cases
def test_order_of_examples_does_not_matter(name, responses, make_batch):
    method = create(name)
    batch = make_batch(method, responses=responses)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    straight, shuffled = method.loss(batch).per_example, method.loss(select(batch, order)).per_example
    torch.testing.assert_close(shuffled, straight[order], rtol=1e-10, atol=1e-10)


@over_cases
def test_couples_examples_exactly_where_declared(name, responses, make_batch):
    """Half a batch gives the same losses unless the method says that it couples its examples."""
    method = create(name)
    same = []
    for seed in range(3):
        batch = make_batch(method, responses=responses, seed=seed)
        half = method.loss(select(batch, slice(0, 3))).per_example
        same.append(torch.allclose(half, method.loss(batch).per_example[:3], rtol=1e-10, atol=1e-12))
    assert all(same) != method.needs.couples_examples


@pytest.mark.parametrize(("name", "responses"), [case for case in CASES if "sg[" not in methods()[case[0]].__doc__])
def test_gradient_is_the_derivative(name, responses, make_batch):
    """Finite differences in double precision.

    A formula with sg[...] says that gradient and derivative differ on purpose; those are in test_gradients.py.
    """
    method = create(name)
    batch = make_batch(method, responses=responses)
    at = (lambda logps: replace(batch, logps=logps)) if batch.tokens is None else partial(with_token_logps, batch)
    assert torch.autograd.gradcheck(lambda logps: method.loss(at(logps)).per_example, policy_of(batch))


@pytest.mark.parametrize(("name", "responses"), [c for c in CASES if c not in PER_TOKEN])
def test_sum_ignores_lengths_and_mean_is_per_token(name, responses, make_batch):
    """SUM: other lengths change nothing. MEAN: twice the log-prob over twice the tokens is the same."""
    method = create(name)
    batch = make_batch(method, responses=responses)
    loss = method.loss(batch).per_example
    longer = method.loss(replace(batch, lengths=2 * batch.lengths)).per_example
    names = {"logps", "reference", "references", "mismatched", "mismatched_reference", "lengths"} & set(tensors(batch))
    doubled = method.loss(replace(batch, **{n: 2 * getattr(batch, n) for n in names})).per_example
    assert torch.equal(longer, loss) == (method.log_probs == "SUM")
    assert torch.allclose(doubled, loss, rtol=1e-10) == (method.log_probs == "MEAN")


@pytest.mark.parametrize(("name", "responses"), PER_TOKEN)
def test_padding_does_not_matter(name, responses, make_batch):
    """Whatever stands behind a response's end, and however far the table goes on."""
    method = create(name)
    batch = make_batch(method, responses=responses)

    def longer(table):
        filled = table if table.dtype == torch.bool else table.masked_fill(~batch.tokens.mask, 7.0)
        return torch.nn.functional.pad(filled, (0, 3), value=0 if table.dtype == torch.bool else -5.0)

    padded = replace(batch.tokens, **{n: longer(t) for n, t in tensors(batch.tokens).items()})
    torch.testing.assert_close(method.loss(replace(batch, tokens=padded)).per_example, method.loss(batch).per_example)


@over_cases
def test_pure_and_without_memory(name, responses, make_batch):
    method = create(name)
    batch = make_batch(method, responses=responses)
    before = {n: t.detach().clone() for n, t in tensors(batch).items()}
    first = method.loss(batch).per_example
    method.loss(make_batch(method, responses=responses, seed=9))
    with torch.no_grad():
        again = method.loss(batch).per_example
    assert torch.equal(first, again)
    assert all(torch.equal(before[n], t) for n, t in tensors(batch).items())


@over_methods
@pytest.mark.parametrize(
    "lacks",
    [
        "reference",
        "references",
        "rewards",
        "values",
        "mismatched",
        "embeddings",
        "tokens",
        "task_outputs",
        "columns",
        "objective_rewards",
    ],
)
def test_what_is_missing_is_named(name, lacks, make_batch):
    method = create(name)
    batch = make_batch(method)
    if lacks == "columns":
        lacking = select(make_batch(method, responses=1), slice(None)) if not method.needs.base_responses else None
        if lacking is None:
            columns = {"logps", "lengths", "reference"} & tensors(batch).keys()
            lacking = replace(batch, **{n: getattr(batch, n)[:, :2] for n in columns})
        needed = method.needs.pairs
    else:
        lacking, needed = replace(batch, **{lacks: None}), getattr(batch, lacks) is not None
    if needed:
        words = {
            "values": "value head",
            "columns": "response",
            "tokens": "per token",
            "task_outputs": "degree head",
            "objective_rewards": "rewards by objective",
        }.get(lacks, lacks.removesuffix("s"))
        with pytest.raises(ValueError, match=f"(?s)method '.*{words}"):
            method.loss(lacking)


@over_methods
def test_hyperparameters_are_checked(name):
    """NaN is in no range, and a misspelt name is answered with the right one."""
    for field in fields(methods()[name]):
        if isinstance(field.default, float):
            with pytest.raises(ValueError, match=rf"{field.name} must be a number, not nan"):
                create(name, **{field.name: float("nan")})
        if len(field.name) > 3:
            with pytest.raises(ValueError, match=f"did you mean '{field.name}'"):
                create(name, **{field.name[:-2] + field.name[-1]: 1})


def test_unknown_method_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="unknown method 'dppo'; did you mean 'dpo'"):
        create("dppo")


@pytest.mark.parametrize("name", ["reference", "references", "rewards", "embeddings", "mismatched_reference"])
def test_frozen_quantities_carry_no_gradient(name):
    ones = torch.ones(2, 2)
    with pytest.raises(ValueError, match=f"{name} is frozen"):
        MethodBatch(ones, ones, ones > 0, **{name: ones.clone().requires_grad_()})
