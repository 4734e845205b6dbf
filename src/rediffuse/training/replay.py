"""A function's kernels recorded once as a CUDA graph, and launched at one go from then on."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")
#: Calls before the recording: libraries make their handles and workspaces in the first, compilers their kernels.
WARM_UP = 3


class Replayed(Generic[Result]):
    """`function(*tensors)`, which adds up gradients of `parameters`, as it is but for the processor's part in it.

    A training step is hundreds of short kernels, and a GPU would wait for the processor to launch each. The first call
    runs the function a few times and records its kernels; every call replays them, with the random numbers that the
    default generator of the device would give the function now. Gradients and result are then the function's own, to
    the byte; both are overwritten by the next call. Every call must bring tensors of the same shapes.

    The function must not look at values on the device, and must do the same at every call.
    """

    def __init__(self, function: Callable[..., Result], parameters: Sequence[Tensor]) -> None:
        self.function, self.parameters = function, parameters
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: list[Tensor | None] = []
        self.gradients: list[Tensor | None] = []

    def __call__(self, *tensors: Tensor | None) -> Result:
        """The function's result for these tensors; the gradients that it adds to none."""
        if self.graph is None:
            self._record(tensors)
        assert self.graph is not None
        for own, given in zip(self.inputs, tensors, strict=True):
            if own is not None and given is not None:
                own.copy_(given)
        self.graph.replay()
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient
        return self.result

    def _record(self, tensors: Sequence[Tensor | None]) -> None:
        self.inputs = [None if tensor is None else tensor.clone() for tensor in tensors]
        device = next(tensor.device for tensor in tensors if tensor is not None)
        drawn = torch.cuda.get_rng_state(device)
        beside, current = torch.cuda.Stream(device), torch.cuda.current_stream(device)
        beside.wait_stream(current)
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP):
                self.function(*self.inputs)
                self._forget()
        current.wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.result = self.function(*self.inputs)
        self.gradients = [parameter.grad for parameter in self.parameters]
        torch.cuda.set_rng_state(drawn, device)
        self.graph = graph

    def _forget(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None
