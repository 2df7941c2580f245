"""Weights spread over processes (FSDP2): each keeps a part of every layer and sees one whole layer at a time.

The decoder's layers are sharded; embeddings, the last norm and the head stay whole on every process, since
log-probabilities read the head's weight without calling it, and it may be tied to the embeddings. Gradients are summed
over processes, as everywhere in `trainers.objective.distribution`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeGuard, cast

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from trainers.config import TrainConfig
from trainers.methods.registry import Method
from trainers.model.causal_lm import decoder_and_head
from trainers.processes import is_first, is_shared

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def refuse_sharding(config: TrainConfig, method: Method) -> None:
    """Raise if weights are to be sharded where they cannot be.

    Raises
    ------
    ValueError
        Naming what stands against it.
    """
    reasons = {
        "it needs several processes: torchrun -m trainers FILE": not is_shared(),
        "adapters are not sharded; leave out training.lora": config.lora is not None,
        f"{type(method).__name__} runs a second pass for each batch, which is not sharded": method.needs.task
        is not None,
        f"the moving reference of {type(method).__name__} is not sharded": method.needs.reference_update is not None,
    }
    if reason := next((reason for reason, holds in reasons.items() if holds), None):
        raise ValueError(f"training.sharding: {reason}")


def shard(model: nn.Module) -> None:
    """Spread the decoder's layers over all processes, in place.

    Raises
    ------
    ValueError
        If the decoder has no list of layers that holds all of its blocks.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    decoder, _ = decoder_and_head(model)
    lists = [child for child in decoder.children() if isinstance(child, nn.ModuleList)]
    if len(lists) != 1:
        raise ValueError(f"training.sharding: {type(decoder).__name__} has {len(lists)} lists of layers, not one")
    mesh = init_device_mesh(next(model.parameters()).device.type, (torch.distributed.get_world_size(),))
    layers: Any = lists[0]
    for layer in layers:
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)
        # A sum: the loss is a mean over the examples of all processes already. Gloo has no other reduction.
        layer.set_gradient_divide_factor(1.0)
        layer.set_force_sum_reduction_for_comms(True)
    # Without parameters of its own, it lets the layers fetch each other's weights ahead.
    fully_shard(decoder, mesh=mesh, ignored_params={p for p in decoder.parameters() if not is_sharded(p)})


def is_sharded(tensor: Tensor) -> TypeGuard[DTensor]:
    """Whether this process holds only its part of a tensor."""
    # Loaded only where processes share a policy, and then before any tensor can be sharded.
    return hasattr(tensor, "full_tensor")


def clip_gradient(parameters: Sequence[nn.Parameter], max_norm: float) -> Tensor:
    """`torch.nn.utils.clip_grad_norm_` for parameters that may be sharded; every process gets the same norm."""
    if not any(map(is_sharded, parameters)):
        return nn.utils.clip_grad_norm_(parameters, max_norm)
    gradients = [p.grad for p in parameters if p.grad is not None]
    parts = [gradient.to_local() for gradient in gradients if is_sharded(gradient)]
    whole = [gradient for gradient in gradients if not is_sharded(gradient)]
    square = sum((part.square().sum() for part in parts), start=torch.zeros((), device=parameters[0].device))
    torch.distributed.all_reduce(square)
    norm = (square + nn.utils.get_total_norm(whole).square()).sqrt()
    factor = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    for gradient in parts + whole:
        gradient.mul_(factor)
    return norm


def whole(tree: Any) -> Any:
    """Nested tensors with the sharded ones put together, in the first process's memory; every process must ask."""

    def gathered(tensor: DTensor) -> Tensor | None:
        full = tensor.full_tensor()
        return full.cpu() if is_first() else None

    return tree_map(lambda leaf: gathered(leaf) if is_sharded(leaf) else leaf, tree)


def spread(tensor: Tensor, like: Tensor) -> Tensor:
    """This process's part of a whole tensor, if `like` is sharded and of its shape; else the tensor."""
    if not is_sharded(like) or tensor.shape != like.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """The state dict of a sharded model on the first process, in its memory; empty on the others, which ask too."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return cast("dict[str, Tensor]", get_model_state_dict(model, options=options))  # no module has another state
