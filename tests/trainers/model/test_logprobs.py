"""Log-probabilities against a naive computation: chunked, shared, packed and padded, in every architecture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.trainers.toy import make_pairs
from trainers.config import ARCHITECTURES, LoraConfig, ModelConfig, TrainConfig
from trainers.data.encoding import Limits, encode_pairs
from trainers.model.loading import adapt, layout_for, make, prepare
from trainers.model.logprobs import score, token_collisions, token_logps
from trainers.model.packing import Layout, example_sizes, plan
from trainers.model.response_logprobs import score_all
from trainers.model.rows import lay_out


@pytest.fixture(scope="module")
def encoded(tokenizer):
    return encode_pairs(make_pairs(10), tokenizer, Limits(64))


def model_of(architecture, tokenizer, **changes):
    size = {"layers": 2, "hidden": 16, "heads": 2, "intermediate": 24, "context": 64} | changes
    model = make(ModelConfig(architecture, **size), tokenizer, seed=1)
    with torch.no_grad():  # far from the near-uniform predictions of fresh weights, so that errors show
        for parameter in model.parameters():
            parameter.mul_(3 if parameter.ndim > 1 else 1)
    return model.eval()


def naive(model, encoded):
    """Each prompt and response alone, all logits, log-softmax, gather, sum: shape (N, K)."""
    sums = []
    for (start, size), responses in zip(encoded.prompts, encoded.responses, strict=True):
        prompt = encoded.tokens[start : start + size]
        for begin, length in responses:
            ids = torch.tensor(np.concatenate([prompt, encoded.tokens[begin : begin + length]])[None], dtype=torch.long)
            logps = model(input_ids=ids).logits.float().log_softmax(-1)
            sums.append(logps[0, :-1].gather(1, ids[0, 1:, None])[size - 1 :].sum())
    return torch.stack(sums).view(encoded.lengths.shape)


@pytest.mark.parametrize("chunk", [1 << 24, 64, 7])
@pytest.mark.parametrize("with_bias", [False, True])
def test_chunked_head_equals_log_softmax_with_gradients(monkeypatch, chunk, with_bias):
    monkeypatch.setattr("trainers.model.logprobs.CHUNK_ELEMENTS", chunk)
    generator = torch.Generator().manual_seed(0)
    shapes = [(23, 5), (11, 5)] + [(11,)] * with_bias
    ours = [torch.randn(shape, generator=generator, dtype=torch.float64).float().requires_grad_() for shape in shapes]
    theirs = [tensor.detach().double().requires_grad_() for tensor in ours]
    targets = torch.randint(0, 11, (23,), generator=generator)
    weights = torch.randn(23, generator=generator)
    logps = token_logps(ours[0], ours[1], ours[2] if with_bias else None, targets)
    logits = F.linear(theirs[0], theirs[1], theirs[2] if with_bias else None)
    expected = logits.log_softmax(-1).gather(1, targets[:, None]).squeeze(1)
    torch.testing.assert_close(logps, expected.float(), atol=1e-5, rtol=0)
    (logps * weights).sum().backward()
    (expected * weights).sum().backward()
    for mine, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, their.grad.float(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("chunk", [1 << 24, 7])
def test_collisions_are_sums_of_squared_probabilities(monkeypatch, chunk):
    monkeypatch.setattr("trainers.model.logprobs.CHUNK_ELEMENTS", chunk)
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(23, 5, generator=generator), torch.randn(11, 5, generator=generator)
    expected = F.linear(hidden, weight).softmax(-1).square().sum(-1).log()
    torch.testing.assert_close(token_collisions(hidden, weight, None), expected, atol=1e-5, rtol=0)


def test_the_full_table_of_logits_is_never_held(monkeypatch):
    """No tensor with as many elements as positions × vocabulary is made, forward or backward."""
    monkeypatch.setattr("trainers.model.logprobs.CHUNK_ELEMENTS", 1 << 12)
    from torch.utils._python_dispatch import TorchDispatchMode

    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                largest = max(largest, result.numel())
            return result

    hidden = torch.randn(512, 4, requires_grad=True)
    weight = torch.randn(1000, 4, requires_grad=True)
    with Watch():
        token_logps(hidden, weight, None, torch.zeros(512, dtype=torch.long)).sum().backward()
    assert 0 < largest <= 1 << 12


def test_what_the_backward_pass_keeps_does_not_grow_with_the_vocabulary():
    """Bytes kept between the passes, weights not counted, at V and 8V."""
    held_bytes = {}
    for vocabulary in (1000, 8000):
        hidden = torch.randn(300, 8, requires_grad=True)
        weight = torch.randn(vocabulary, 8, requires_grad=True)
        saved: list[torch.Tensor] = []

        def save(tensor, saved=saved):
            saved.append(tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
            token_logps(hidden, weight, None, torch.zeros(300, dtype=torch.long))
        held_bytes[vocabulary] = sum(t.numel() * t.element_size() for t in saved if t.data_ptr() != weight.data_ptr())
        assert held_bytes[vocabulary] >= 300 * 8 * 4  # the hidden states
    assert held_bytes[1000] == held_bytes[8000]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_layout_and_naive_agree_in_losses_and_gradients(architecture, tokenizer, encoded):
    model = model_of(architecture, tokenizer)
    assert layout_for(model, 64, 100).attention == "by_example"  # and switches the model to the attention that can
    results = {}
    forms = {
        "by example": (Layout(True, 16, 100_000, attention="by_example"), [[4, 2, 0, 9, 1, 3, 5, 6, 7, 8]]),
        "packed": (Layout(True, 16, 100_000), [[0, 1, 2], [3], [4, 5, 6, 7], [8, 9]]),
        "shared": (Layout(True, 16, 100_000), [[i] for i in range(10)]),
        "padded": (Layout(False, 16, 100_000), [[i] for i in range(10)]),
        "naive": None,
    }
    weights = torch.linspace(-1, 1, 20).view(10, 2)
    for name, form in forms.items():
        model.zero_grad()
        if form is None:
            logps = naive(model, encoded)
        else:
            rows = lay_out(encoded, form[1], form[0])
            assert (rows.by_example is not None) == (name == "by example")
            logps = score(model, rows).logps.view(10, 2)[np.argsort(np.concatenate(form[1]))]
        loss = F.softplus(weights * logps).mean()
        loss.backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        results[name] = (logps.detach(), loss.detach(), gradient)
    assert results["naive"][2].norm() > 0.1
    for name in forms:
        for ours, expected in zip(results[name], results["naive"], strict=True):
            torch.testing.assert_close(ours, expected, atol=2e-5, rtol=1e-5)


def test_agrees_with_trl(tokenizer, encoded):
    selective_log_softmax = pytest.importorskip("trl.trainer.utils").selective_log_softmax
    model = model_of("llama", tokenizer)
    rows = lay_out(encoded, [[i] for i in range(10)], Layout(False, 16, 100_000))
    with torch.no_grad():
        logits = model(input_ids=rows.input_ids).logits[:, :-1]
        theirs = selective_log_softmax(logits, rows.input_ids[:, 1:])
        ours = score(model, rows).logps
    for i, (start, length) in enumerate(zip(encoded.prompts[:, 1].repeat(2), encoded.lengths.flatten(), strict=True)):
        # The last token is not fed in, so their sum is short of it; add it from the same logits.
        inside = theirs[i, start - 1 : start + length - 2].sum()
        end = encoded.responses.reshape(-1, 2)[i].sum() - 1
        with torch.no_grad():
            last = model(input_ids=rows.input_ids[i : i + 1]).logits[0, start + length - 2].log_softmax(-1)
        torch.testing.assert_close(inside + last[int(encoded.tokens[end])], ours[i], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("budget", [1, 60, 200, 100_000])
def test_micro_batches_and_packing_change_no_number(tokenizer, encoded, budget):
    model = model_of("llama", tokenizer)
    with torch.no_grad():
        expected = naive(model, encoded).numpy()
    for shared in (True, False):
        layout = Layout(shared, 16, budget)
        np.testing.assert_allclose(score_all(model, encoded, layout, TrainConfig()), expected, atol=2e-5, rtol=1e-5)


def test_prompt_hidden_is_that_of_the_last_prompt_token(tokenizer, encoded):
    model = model_of("llama", tokenizer)
    with torch.no_grad():
        scored = score(model, lay_out(encoded, [[2, 5], [1]], Layout(True, 16, 100_000)))
        for hidden, example in zip(scored.prompt_hidden, (2, 5, 1), strict=True):
            start, size = encoded.prompts[example]
            ids = torch.tensor(encoded.tokens[None, start : start + size], dtype=torch.long)
            torch.testing.assert_close(
                hidden, model.model(input_ids=ids).last_hidden_state[0, -1], atol=1e-5, rtol=1e-5
            )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_architectures_with_full_attention_take_shared_prompts(architecture, tokenizer, caplog):
    assert layout_for(model_of(architecture, tokenizer), 64, 100).shared
    assert not caplog.records


def test_a_window_shorter_than_the_data_falls_back_with_the_same_numbers(tokenizer, encoded, caplog):
    model = model_of("mistral", tokenizer)
    model.config.sliding_window = 6
    layout = layout_for(model, encoded.longest(), 100_000)
    assert not layout.shared
    assert [record.message.split(":")[0] for record in caplog.records] == ["mistral takes no shared prompts"]
    seen, gradients = [], []
    for logps in (score(model, lay_out(encoded, [[i] for i in range(10)], layout)).logps, naive(model, encoded)):
        model.zero_grad()
        F.softplus(logps.flatten() / 10).sum().backward()
        seen.append(logps.flatten().detach())
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    for pair in (seen, gradients):
        torch.testing.assert_close(*pair, atol=2e-5, rtol=1e-5)
    assert gradients[0].norm() > 0.1


def test_a_state_space_model_falls_back(tokenizer, encoded, caplog):
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, state_size=4)
    with torch.random.fork_rng():
        model = MambaForCausalLM(config).eval()
    layout = layout_for(model, encoded.longest(), 100_000)
    assert not layout.shared
    assert "carries a state" in caplog.text
    with torch.no_grad():
        np.testing.assert_allclose(score_all(model, encoded, layout, TrainConfig()), naive(model, encoded), atol=5e-5)


def test_logits_that_are_more_than_a_linear_head_are_refused():
    from transformers import Gemma2Config, Gemma2ForCausalLM

    config = Gemma2Config(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
        head_dim=8, intermediate_size=16, final_logit_softcapping=0.01,
    )  # fmt: skip
    with torch.random.fork_rng():
        model = Gemma2ForCausalLM(config).eval()
    with pytest.raises(ValueError, match="gemma2: logits are more than hidden states times output embeddings"):
        layout_for(model, 20, 100)


def test_an_adapter_starts_as_the_base_and_can_be_switched_off(tokenizer, encoded):
    layout = Layout(True, 16, 100_000)
    expected = score_all(model_of("llama", tokenizer), encoded, layout, TrainConfig())
    adapted = adapt(model_of("llama", tokenizer), LoraConfig(rank=2, alpha=4), seed=0)
    np.testing.assert_allclose(score_all(adapted, encoded, layout, TrainConfig()), expected, atol=1e-5)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.1)
    assert np.abs(score_all(adapted, encoded, layout, TrainConfig()) - expected).max() > 0.1
    with adapted.disable_adapter():
        np.testing.assert_allclose(score_all(adapted, encoded, layout, TrainConfig()), expected, atol=1e-5)
    with pytest.raises(ValueError, match="head cannot carry an adapter"):
        adapt(model_of("llama", tokenizer), LoraConfig(target_modules=("lm_head",)), seed=0)


def test_bf16_is_close(tokenizer, encoded):
    model = model_of("llama", tokenizer)
    layout = Layout(True, 16, 100_000)
    exact = score_all(model, encoded, layout, TrainConfig())
    rounded = score_all(model, encoded, layout, TrainConfig(dtype="bfloat16"))
    assert 0 < np.abs(rounded - exact).max() < 0.02 * np.abs(exact).max()


def test_bf16_sizes_repeat_and_change_no_number(tokenizer, monkeypatch):
    """The shapes of the matrix products, by name, over batches of different lengths: only the padded sizes appear."""
    from torch.utils._python_dispatch import TorchDispatchMode

    from trainers.model import padding

    model = model_of("llama", tokenizer, hidden=32, context=512)
    encoded = encode_pairs(make_pairs(40), tokenizer, Limits(512))
    layout = replace(layout_for(model, 64, 100_000), hidden=4096)
    sizes = set()

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function in (torch.ops.aten.mm.default, torch.ops.aten.bmm.default, torch.ops.aten.baddbmm.default):
                sizes.update(size for matrix in args if isinstance(matrix, torch.Tensor) for size in matrix.shape[-2:])
            return function(*args, **(kwargs or {}))

    def gradient(batch):
        model.zero_grad()
        rows = lay_out(encoded, [batch], layout)
        assert rows.by_example is not None
        with torch.autocast("cpu", torch.bfloat16):
            logps = score(model, rows).logps
        logps.sum().backward()
        return logps.detach(), torch.cat([p.grad.flatten() for p in model.parameters()])

    batches = [list(range(start, start + n)) for start, n in ((0, 3), (3, 7), (10, 11), (21, 19))]
    with Watch():
        padded = [gradient(batch) for batch in batches]
    own = {32, 24, 16, len(tokenizer)}  # hidden, intermediate, head, vocabulary
    assert sizes - own and all(size % padding.STEP == 0 for size in sizes - own)
    monkeypatch.setattr(padding, "STEP", 1)
    for batch, (logps, expected) in zip(batches, padded, strict=True):
        unpadded, gradients = gradient(batch)
        torch.testing.assert_close(logps, unpadded, atol=2**-8, rtol=2**-8)  # a unit in the last place of bfloat16
        assert (expected - gradients).norm() < 0.02 * gradients.norm()


def test_gradient_checkpointing_changes_no_gradient(tokenizer, encoded):
    gradients = []
    for checkpointing in (False, True):
        model = prepare(model_of("llama", tokenizer), TrainConfig(gradient_checkpointing=checkpointing))
        assert not model.training
        score(model, lay_out(encoded, [[0, 1], [2]], Layout(True, 16, 1000))).logps.sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-5)


def test_plans_of_real_sizes_change_no_number(tokenizer, encoded):
    """What the planner chooses is what is tested above."""
    model = model_of("llama", tokenizer)
    layout = Layout(True, 1024, 120)
    sizes = example_sizes(encoded, layout)
    seen = np.empty((10, 2), np.float32)
    with torch.no_grad():
        for rows in plan(sizes, layout):
            seen[np.concatenate(rows)] = score(model, lay_out(encoded, rows, layout)).logps.view(-1, 2)
        np.testing.assert_allclose(seen, naive(model, encoded), atol=2e-5)
