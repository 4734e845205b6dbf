"""What a training step keeps in memory: tensors saved for the backward pass, weights, gradients, Adam's moments."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def saved_activation_bytes(
    forward: Callable[[], Tensor], parameters: tuple[Tensor, ...] | list[Tensor] = ()
) -> tuple[Tensor, int]:
    """What `forward()` returns, and the bytes that autograd holds for its backward pass.

    Tensors that share a storage count once, by the size of that storage; the storages of `parameters`, which live
    anyway, do not count. With activation checkpointing this is what stays between the two passes: the backward pass
    then fills and frees one block's inside at a time (see `peak_training_bytes`).
    """
    known = {p.untyped_storage().data_ptr() for p in parameters}
    held: dict[int, int] = {}
    kept: list[torch.UntypedStorage] = []  # alive, so that no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known and storage.data_ptr() not in held:
            held[storage.data_ptr()] = storage.nbytes()
            kept.append(storage)
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = forward()
    return output, sum(held.values())


def recomputed_bytes(model: nn.Module, forward: Callable[[], Tensor]) -> int:
    """The most bytes that a checkpointed block's inside takes while its part of the backward pass runs; 0 without any.

    Measured block by block, by running each again on the inputs it had in `forward`.
    """
    most = 0
    seen: list[tuple[nn.Module, tuple[Tensor, ...]]] = []
    blocks = [module for module in model.modules() if getattr(module, "checkpointing", False)]
    hooks = [b.register_forward_pre_hook(lambda module, given: seen.append((module, given))) for b in blocks]
    with torch.no_grad():
        forward()
    for hook in hooks:
        hook.remove()
    for block, given in seen:
        inputs = [part.detach().requires_grad_() if isinstance(part, Tensor) else part for part in given]
        inside: Callable[..., Tensor] = block._run  # type: ignore[assignment]
        held = [*block.parameters(), *(part for part in inputs if isinstance(part, Tensor))]
        most = max(most, saved_activation_bytes(lambda run=inside, a=inputs: run(*a), held)[1])  # type: ignore[misc]
    return most


def training_state_bytes(model: nn.Module, *, average: bool = True) -> int:
    """Bytes of weights, gradients, Adam's two moments and, with `average`, the moving average: all of the weights' own
    type."""
    return sum(p.numel() * p.element_size() for p in model.parameters()) * (5 if average else 4)


def peak_training_bytes(model: nn.Module, forward: Callable[[], Tensor]) -> int:
    """An estimate of a training step's peak: state, saved activations and the largest recomputed block.

    Temporaries inside single operations and the allocator's own overhead are left out; on a GPU
    `torch.cuda.max_memory_allocated` measures the real peak.
    """
    output, saved = saved_activation_bytes(forward, list(model.parameters()))
    del output
    return training_state_bytes(model) + saved + recomputed_bytes(model, forward)
