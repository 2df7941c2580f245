"""Parity with TRL's own loss code on fixed log-probs.

TRL computes its losses inside ``_compute_loss``, which takes a model. The model here returns log-probs laid out
over tokens whose sums are ours; nothing of TRL is replaced but the accelerator's gathering over processes.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from trainers.methods import create
from trainers.methods.interface import MethodBatch, Tokens

pytest.importorskip("trl")

N, TOKENS = 8, 12


@pytest.fixture(scope="module")
def batch() -> MethodBatch:
    g = torch.Generator().manual_seed(11)
    lengths = torch.randint(3, TOKENS, (N, 2), generator=g).float()
    return MethodBatch(
        logps=-2.0 * lengths + 2 * torch.randn(N, 2, generator=g),
        lengths=lengths,
        desirable=torch.tensor([[True, False]]).expand(N, 2),
        reference=-2.0 * lengths + 2 * torch.randn(N, 2, generator=g),
        mismatched=-20 + torch.randn(N, generator=g),
        mismatched_reference=-20.5 + torch.randn(N, generator=g),
    )


def stacked(columns: torch.Tensor) -> torch.Tensor:
    """TRL's batch order: all chosen, then all rejected."""
    return columns.T.reshape(-1)


def mask_of(lengths: torch.Tensor) -> torch.Tensor:
    """Completion mask of width TOKENS with one prompt token in front."""
    positions = torch.arange(TOKENS)
    return ((positions > 0) & (positions <= lengths[:, None])).long()


class FixedModel(torch.nn.Module):
    """Gives each sequence its SUM log-prob, spread evenly over the tokens of its completion."""

    is_gradient_checkpointing = False

    def __init__(self, logps: torch.Tensor, lengths: torch.Tensor) -> None:
        super().__init__()
        mask = mask_of(lengths)[:, 1:].float()
        self.log_probs = mask * (logps / lengths)[:, None]

    def forward(self, **_) -> SimpleNamespace:
        blank = torch.zeros_like(self.log_probs)
        return SimpleNamespace(log_probs=self.log_probs, entropy=blank, mean_logits=blank, is_top1=blank.bool())


def trl_trainer(model: FixedModel, **settings) -> SimpleNamespace:
    gather = lambda x: x  # noqa: E731  one process
    accelerator = SimpleNamespace(device=torch.device("cpu"), gather=gather, gather_for_metrics=gather)
    return SimpleNamespace(
        model=model, accelerator=accelerator, _metrics={"train": defaultdict(list)}, aux_loss_enabled=False,
        precompute_ref_logps=True, _total_train_tokens=0, _tp_size=1, **settings,
    )  # fmt: skip


def trl_dpo(batch: MethodBatch, loss_type: str, beta: float, label_smoothing: float = 0.0, **settings) -> float:
    from trl import DPOTrainer

    lengths, reference = stacked(batch.lengths), stacked(batch.reference)
    model = FixedModel(stacked(batch.logps), lengths)
    defaults = {
        "ld_alpha": None, "f_divergence_type": "reverse_kl", "use_weighting": False, "loss_types": [loss_type],
        "loss_weights": [1.0], "beta": beta, "label_smoothing": label_smoothing,
    }  # fmt: skip
    trainer = trl_trainer(model, **defaults | settings)
    mask = mask_of(lengths)
    inputs = {
        "input_ids": torch.zeros_like(mask), "attention_mask": torch.ones_like(mask), "completion_mask": mask,
        "ref_chosen_logps": reference[:N], "ref_rejected_logps": reference[N:],
    }  # fmt: skip
    return float(DPOTrainer._compute_loss(trainer, model, inputs, return_outputs=False))


def ours(batch: MethodBatch, name: str, **parameters) -> float:
    return create(name, **parameters).loss(batch).per_example.mean().item()


@pytest.mark.parametrize("beta", [0.05, 0.5])
@pytest.mark.parametrize(
    ("loss_type", "smoothing", "name", "parameters"),
    [
        ("sigmoid", 0.0, "dpo", {}),
        ("hinge", 0.0, "rso_hinge", {}),
        ("ipo", 0.0, "ipo", {}),
        ("exo_pair", 0.1, "exo", {"epsilon": 0.1}),
        ("exo_pair", 1e-3, "exo", {"epsilon": 1e-3}),
        ("nca_pair", 0.0, "nca", {}),
        ("robust", 0.2, "rdpo", {"epsilon": 0.2}),
        ("sppo_hard", 0.0, "sppo", {}),
        ("aot", 0.0, "aot", {}),
        ("aot", 0.1, "aot", {"epsilon": 0.1}),
        ("aot_unpaired", 0.0, "aot_unpaired", {}),
        ("aot_unpaired", 0.1, "aot_unpaired", {"epsilon": 0.1}),
        ("apo_down", 0.0, "apo_down", {}),
        ("sigmoid_norm", 0.0, "dpo_norm", {}),
    ],
)
def test_dpo_family(loss_type, smoothing, name, parameters, beta, batch):
    strength = {"gamma": beta} if name == "rso_hinge" else {"beta": beta}
    theirs = trl_dpo(batch, loss_type, beta, smoothing)
    assert ours(batch, name, **parameters, **strength) == pytest.approx(theirs, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("beta", [0.05, 0.5])
def test_losses_of_singletons_are_half_of_trls_sums(beta, batch):
    """TRL adds the losses of a pair's two responses; its "bco_pair" has no reward shift."""
    centred = replace(batch, reference=batch.reference + batch.log_ratios.mean())
    assert 2 * ours(batch, "apo_zero", beta=beta) == pytest.approx(trl_dpo(batch, "apo_zero", beta), rel=1e-5)
    assert 2 * ours(centred, "bco", beta=beta) == pytest.approx(trl_dpo(centred, "bco_pair", beta), rel=1e-5)


def test_wpo(batch):
    """TRL's weights on the sigmoid loss, with Σ_v π(v)² of every token."""
    from trl import DPOTrainer

    lengths = stacked(batch.lengths)
    model = FixedModel(stacked(batch.logps), lengths)
    squares = -torch.rand(2 * N, TOKENS - 1, generator=torch.Generator().manual_seed(3))
    forward = model.forward
    model.forward = lambda **inputs: SimpleNamespace(**vars(forward(**inputs)), log_sum_sq_probs=squares)
    trainer = trl_trainer(
        model, ld_alpha=None, f_divergence_type="reverse_kl", loss_types=["sigmoid"], loss_weights=[1.0], beta=0.1,
        label_smoothing=0.0, use_weighting=True,
    )  # fmt: skip
    mask, reference = mask_of(lengths), stacked(batch.reference)
    inputs = {
        "input_ids": torch.zeros_like(mask), "attention_mask": torch.ones_like(mask), "completion_mask": mask,
        "ref_chosen_logps": reference[:N], "ref_rejected_logps": reference[N:],
    }  # fmt: skip
    theirs = float(DPOTrainer._compute_loss(trainer, model, inputs, return_outputs=False))
    logps, inside, collision = (
        t.view(2, N, -1).transpose(0, 1) for t in (model.log_probs, mask[:, 1:].bool(), squares)
    )
    assert ours(replace(batch, tokens=Tokens(logps, inside, collision=collision)), "wpo") == pytest.approx(
        theirs, rel=1e-5
    )


def test_dpo_nll(batch):
    """TRL's mean is over all tokens of the batch, which is the mean over responses where they are equally long."""
    level = replace(batch, lengths=torch.full((N, 2), 7.0))
    theirs = trl_dpo(level, "sigmoid", 0.1, loss_types=["sigmoid", "sft"], loss_weights=[1.0, 0.3])
    assert ours(level, "dpo_nll", alpha=0.3) == pytest.approx(theirs, rel=1e-5)


def test_discopop(batch):
    theirs = trl_dpo(batch, "discopop", 0.05, args=SimpleNamespace(discopop_tau=0.05))
    assert ours(batch, "discopop") == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize(
    ("divergence", "parameters"),
    [("forward_kl", {}), ("jensen_shannon", {}), ("alpha", {"alpha": 0.5}), ("alpha", {"alpha": 0.2})],
)
def test_f_dpo(divergence, parameters, batch):
    """TRL's coefficient of the α-divergence is 1 − α."""
    theirs = trl_dpo(
        batch, "sigmoid", 0.3,
        f_divergence_type={"forward_kl": "forward_kl", "jensen_shannon": "js_divergence"}.get(divergence, "alpha_divergence"),
        f_alpha_divergence_coef=1 - parameters.get("alpha", 0.0),
    )  # fmt: skip
    assert ours(batch, "f_dpo", beta=0.3, divergence=divergence, **parameters) == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_ld_dpo(alpha, batch):
    """The reference's log-probs per token come from TRL's reference model: the same FixedModel on other sums."""
    from trl import DPOTrainer

    lengths = stacked(batch.lengths)
    policy, reference = FixedModel(stacked(batch.logps), lengths), FixedModel(stacked(batch.reference), lengths)
    trainer = trl_trainer(
        policy, ld_alpha=alpha, f_divergence_type="reverse_kl", loss_types=["sigmoid"], loss_weights=[1.0], beta=0.1,
        label_smoothing=0.0, use_weighting=False, ref_model=reference,
        args=SimpleNamespace(gradient_checkpointing_kwargs=None),
    )  # fmt: skip
    trainer.precompute_ref_logps = False
    mask = mask_of(lengths)
    inputs = {"input_ids": torch.zeros_like(mask), "attention_mask": torch.ones_like(mask), "completion_mask": mask}
    theirs = float(DPOTrainer._compute_loss(trainer, policy, inputs, return_outputs=False))
    inside = mask[:, 1:].bool()
    laid_out = [t.view(2, N, -1).transpose(0, 1) for t in (policy.log_probs, inside, reference.log_probs)]
    assert ours(replace(batch, tokens=Tokens(*laid_out)), "ld_dpo", alpha=alpha) == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, 1.3)])
def test_kto(weights, batch):
    from trl import KTOTrainer

    lengths, mask = stacked(batch.lengths), mask_of(stacked(batch.lengths))
    model = FixedModel(stacked(batch.logps), lengths)
    trainer = trl_trainer(
        model, beta=0.1, loss_type="kto", calculate_KL=True, desirable_weight=weights[0],
        undesirable_weight=weights[1], _compute_kl_logps=lambda model, inputs: batch.mismatched,
    )  # fmt: skip
    inputs = {
        "input_ids": torch.zeros_like(mask), "attention_mask": torch.ones_like(mask), "completion_mask": mask,
        "label": stacked(batch.desirable), "ref_logps": stacked(batch.reference),
        "ref_KL_logps": batch.mismatched_reference,
    }  # fmt: skip
    theirs = float(KTOTrainer._compute_loss(trainer, model, inputs, return_outputs=False))
    mine = ours(batch, "kto", desirable_weight=weights[0], undesirable_weight=weights[1])
    assert mine == pytest.approx(theirs, abs=1e-5)


def cpo_losses(chosen, rejected, **settings):
    from trl.experimental.cpo import CPOTrainer

    accelerator = SimpleNamespace(device=torch.device("cpu"))
    trainer = SimpleNamespace(accelerator=accelerator, label_smoothing=0.0, **{"alpha": 0.0} | settings)
    return CPOTrainer.cpo_loss(trainer, chosen, rejected)[0]


def test_cpo_without_its_likelihood(batch):
    theirs = cpo_losses(*batch.logps.T, loss_type="sigmoid", beta=0.1)
    mine = create("cpo", alpha=0.0).loss(batch).per_example
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_simpo(batch):
    """TRL's simpo_gamma is γ = β·margin_ratio."""
    theirs = cpo_losses(*batch.mean_logps.T, loss_type="simpo", beta=2.5, simpo_gamma=2.5 * 0.3)
    mine = create("simpo", beta=2.5, margin_ratio=0.3).loss(batch).per_example
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_slic_without_its_likelihood(batch):
    """TRL's CPO hinge is SLiC's at margin 1/β, scaled by β."""
    theirs = cpo_losses(*batch.logps.T, loss_type="hinge", beta=0.1)
    mine = 0.1 * create("slic", margin=10.0, likelihood_weight=0.0).loss(batch).per_example
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_orpo(batch):
    from trl.experimental.orpo import ORPOTrainer

    trainer = SimpleNamespace(accelerator=SimpleNamespace(device=torch.device("cpu")), beta=0.1)
    odds = ORPOTrainer.odds_ratio_loss(trainer, *batch.mean_logps.T)[0]
    theirs = -batch.mean_logps[:, 0] - odds
    torch.testing.assert_close(create("orpo").loss(batch).per_example, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("alpha", [-0.3, 0.25])
def test_alpha_po(alpha, batch):
    theirs = cpo_losses(*batch.mean_logps.T, loss_type="simpo", beta=2.5, simpo_gamma=2.5 * 0.3, alpha=alpha)
    mine = create("alpha_po", beta=2.5, margin_ratio=0.3, alpha=alpha).loss(batch).per_example
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_cpo_simpo(batch):
    """TRL's CPO trainer adds `cpo_alpha` times the mean negative log-likelihood; per response here."""
    theirs = cpo_losses(*batch.mean_logps.T, loss_type="simpo", beta=2.0, simpo_gamma=2.0 * 0.3)
    mine = create("cpo_simpo", margin_ratio=0.3, alpha=0.1).loss(batch).per_example
    torch.testing.assert_close(mine, theirs - 0.1 * batch.mean_logps[:, 0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("loss_type", "settings", "parameters"),
    [("sigmoid", {"tpo_l_gamma": 0.5}, {}), ("tpo-l", {"tpo_l_gamma": 0.3}, {"average": True, "margin": 0.3})],
)
@pytest.mark.parametrize("alpha", [0.0, 0.7])
def test_tpo(loss_type, settings, parameters, alpha):
    """From logits over three responses to each prompt; gold ones of equal length, as TRL averages over their tokens."""
    from trl.experimental.tpo.tpo_trainer import TPOTrainer

    g = torch.Generator().manual_seed(5)
    rows = 3 if alpha else 2
    lengths = torch.cat([torch.randint(3, TOKENS, (N, 2), generator=g), torch.full((N, 1), 6)], dim=1)[:, :rows].float()
    logits = torch.randn(rows * N, TOKENS, 7, generator=g)
    ids, mask = torch.randint(0, 7, (rows * N, TOKENS), generator=g), mask_of(stacked(lengths))
    model = SimpleNamespace(training=True)
    gather = lambda x: x  # noqa: E731  one process
    trainer = SimpleNamespace(
        model=model, accelerator=SimpleNamespace(gather=gather, gather_for_metrics=gather), _tp_size=1,
        _metrics={"train": defaultdict(list)}, _total_train_tokens=0, beta=0.4, label_smoothing=0.0, tpo_alpha=alpha,
        loss_type=loss_type, **settings,
    )  # fmt: skip
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "completion_mask": mask}
    theirs = TPOTrainer._compute_loss(trainer, lambda **_: SimpleNamespace(logits=logits), inputs, False)
    per_token = logits[:, :-1].log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0] * mask[:, 1:]
    logps = per_token.sum(1).view(rows, N).T
    if not alpha:
        logps, lengths = (torch.cat([t, t[:, :1]], dim=1) for t in (logps, lengths))
    triple = MethodBatch(logps, lengths, torch.tensor([[True, False, False]]).expand(N, 3))
    assert ours(triple, "tpo", beta=0.4, alpha=alpha, **parameters) == pytest.approx(float(theirs), rel=1e-5)
