"""Attention along trees: outputs and gradients of every kernel against an explicit mask."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers.integrations import flex_attention as theirs
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from tests.trainers.toy import make_pairs
from trainers.data.encoding import Limits, encode_pairs
from trainers.model import attention, padding
from trainers.model.attention import Tree, attend, by_products
from trainers.model.packing import Layout
from trainers.model.rows import lay_out, visibility

MODULE = SimpleNamespace(num_key_value_groups=2, is_causal=True, training=False)


@pytest.fixture(scope="module")
def rows(tokenizer):
    """Two rows of five examples."""
    encoded = encode_pairs(make_pairs(10), tokenizer, Limits(64))
    return lay_out(encoded, [[4, 2, 0, 9, 1], [3, 5, 6, 7, 8]], Layout(True, 16, 100_000, "blocks"))


def states(n_rows, tokens, dtype=torch.float32, heads=4, dim=16):
    """Queries of `heads` heads, keys and values of half as many."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(n_rows, heads, tokens, dim)] + 2 * [(n_rows, heads // 2, tokens, dim)]
    return [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes]


def with_gradients(kernel, inputs, mask, **options):
    """What a kernel gives, and what it passes back to queries, keys and values."""
    seen = kernel(MODULE, *inputs, mask, **options)[0]
    weights = torch.linspace(-1, 1, seen.numel()).view(seen.shape)
    return seen.detach(), *torch.autograd.grad((seen.float() * weights).sum(), inputs)


@pytest.mark.parametrize(("queries", "step"), [(4, 4), (6, 3), (7, 1), (256, 64)])
def test_products_are_attention(monkeypatch, queries, step):
    monkeypatch.setattr(attention, "QUERIES", queries)
    monkeypatch.setattr(padding, "STEP", step)
    tree = Tree.of(9, [5, 6])
    inputs = states(1, tree.size)
    response = [inputs[0].detach()[:, :, 9:].requires_grad_(), *inputs[1:]]
    for given, mask, options in ((inputs, None, {"is_causal": True}), (response, tree.responses, {"scaling": 0.5})):
        ours, expected = (with_gradients(k, given, mask, **options) for k in (by_products, sdpa_attention_forward))
        for mine, reference in zip(ours, expected, strict=True):
            torch.testing.assert_close(mine, reference, atol=1e-6, rtol=1e-5)


def test_bfloat16_is_as_near_the_exact_result_as_the_fused_kernel():
    tree = Tree.of(150, [60, 80])
    exact = with_gradients(attend, states(1, tree.size), None, trees=[tree])
    ours = with_gradients(attend, states(1, tree.size, torch.bfloat16), None, trees=[tree])

    def fused(module, query, key, value, mask, trees):
        upcast = attend(module, query.float(), key.float(), value.float(), mask, trees=trees)[0]
        return upcast.to(query.dtype), None

    rounded = with_gradients(fused, states(1, tree.size, torch.bfloat16), None, trees=[tree])
    for mine, reference, result in zip(ours, rounded, exact, strict=True):
        assert mine.dtype == torch.bfloat16
        error, allowed = ((part.float() - result).norm() / result.norm() for part in (mine, reference))
        assert 0 < error < 3 * allowed + 1e-3
        assert error < 0.01


def test_the_mask_of_blocks_is_the_mask(rows):
    from torch.nn.attention.flex_attention import create_mask

    mask = rows.mask(torch.float32)
    assert mask.isinf().any() and not mask.isinf().all()
    tokens = rows.input_ids.shape[1]
    assert torch.equal(create_mask(visibility(rows.example, rows.branch), 2, None, tokens, tokens, "cpu"), mask == 0)
    assert rows.block_mask().shape == mask.shape


@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler (g++)")
def test_flex_attention_compiled_for_this_processor_gives_the_same(rows):
    """The attention of GPUs; a processor has its forward pass."""
    inputs = [part.detach() for part in states(2, rows.input_ids.shape[1])]
    real = (rows.example >= 0)[:, :, None, None]
    ours, expected = (attend(MODULE, *inputs, mask)[0] for mask in (rows.block_mask(), rows.mask(torch.float32)))
    torch.testing.assert_close(ours * real, expected * real, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:flex_attention called without")
def test_flex_attention_passes_the_same_gradients(rows, monkeypatch):
    """By torch's own dense form of it, whose backward pass exists on a processor but is not offered there."""
    from torch.nn.attention import flex_attention as module

    monkeypatch.setattr(module, "_validate_device", lambda *states: None)
    monkeypatch.setattr(
        theirs, "compile_friendly_flex_attention", lambda *a, training, **k: module.flex_attention(*a, **k)
    )
    inputs = states(2, rows.input_ids.shape[1])
    real = (rows.example >= 0)[:, :, None, None]

    def of_tokens(mask):
        return with_gradients(lambda *given: (attend(*given)[0] * real, None), inputs, mask)

    for ours, expected in zip(of_tokens(rows.block_mask()), of_tokens(rows.mask(torch.float32)), strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def test_an_attention_that_cannot_run_here_leaves_the_mask(tokenizer, monkeypatch, caplog):
    from tests.trainers.model.test_logprobs import model_of
    from trainers.model.loading import layout_for

    def fail(*arguments):
        raise RuntimeError("no kernel for this machine\nand a long trace")

    monkeypatch.setattr(attention, "_along", fail)
    model = model_of("llama", tokenizer)
    assert layout_for(model, 64, 100) == Layout(True, 16, 100, "mask")
    assert [record.message for record in caplog.records] == [
        "rows are attended to under one mask: RuntimeError: no kernel for this machine"
    ]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("architecture", ["llama", "gpt_neox"])
def test_on_a_gpu_rows_are_attended_to_by_blocks(tokenizer, architecture):
    from tests.trainers.model.test_logprobs import model_of, naive
    from trainers.model.loading import layout_for
    from trainers.model.logprobs import score

    model = model_of(architecture, tokenizer, hidden=32).cuda()
    encoded = encode_pairs(make_pairs(10), tokenizer, Limits(64))
    layout = layout_for(model, 64, 100_000)
    assert layout.attention == "blocks"
    order = np.arange(10)[::-1]
    seen = {}
    for name in ("blocks", "mask"):
        model.zero_grad()
        laid = lay_out(encoded, [order.tolist()], Layout(True, 32, 100_000, name)).to("cuda")
        logps = score(model, laid).logps
        logps.sum().backward()
        seen[name] = logps.detach(), torch.cat([p.grad.flatten() for p in model.parameters()])
    for ours, expected in zip(seen["blocks"], seen["mask"], strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-3, rtol=1e-3)
    with torch.no_grad():
        expected = naive(model.cpu(), encoded)[order.copy()].flatten()
    torch.testing.assert_close(seen["blocks"][0].cpu(), expected, atol=1e-2, rtol=1e-3)
