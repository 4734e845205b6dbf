"""A function's kernels recorded once as a CUDA graph, and launched at one go from then on."""

import sys
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")
#: Calls before the recording: libraries make their handles and workspaces in the first, compilers their kernels.
WARM_UP = 3


class Replayed(Generic[Result]):
    """Calls of one function of tensors that adds up gradients of `parameters`, without the time to launch its kernels.

    A training step is hundreds of short kernels, and a GPU would wait for the processor to launch each. The first call
    runs the function a few times and records its kernels; every call replays them, with the random numbers that the
    device's default generator would give the function at that moment. Result and gradients have the bytes of a plain
    call. Both are overwritten by the next call, and gradients replace what was there.

    The function must not look at values on the device, must do the same at every call, and must change nothing but
    gradients. One that cannot be recorded is called plainly, and a line says so; if it draws random numbers on the GPU
    it then fails, because PyTorch's generator stays in its recording state (seen with PyTorch 2.11).
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = parameters
        self.graph: torch.cuda.CUDAGraph | None = None
        self.plainly = False
        self.inputs: list[Tensor | None] = []
        self.gradients: list[Tensor | None] = []

    def __call__(self, function: Callable[..., Result], *tensors: Tensor | None) -> Result:
        """`function(*tensors)`; every call must bring the same function, and tensors of the same shapes.

        Raises:
            ValueError: a shape is another than in the first call, or a tensor is None that was none, or the reverse.
        """
        if self.graph is None and not self.plainly:
            self._record(function, tensors)
        if self.graph is None:
            return function(*tensors)
        shapes = [[None if tensor is None else tensor.shape for tensor in some] for some in (self.inputs, tensors)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"the recorded step takes tensors of {shapes[0]}, not {shapes[1]}")
        for own, given in zip(self.inputs, tensors, strict=True):
            if own is not None and given is not None:
                own.copy_(given)
        self.graph.replay()
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient
        return self.result

    def _record(self, function: Callable[..., Result], tensors: Sequence[Tensor | None]) -> None:
        self.inputs = [None if tensor is None else tensor.clone() for tensor in tensors]
        device = next(tensor.device for tensor in tensors if tensor is not None)
        drawn = torch.cuda.get_rng_state(device)
        beside, current = torch.cuda.Stream(device), torch.cuda.current_stream(device)
        beside.wait_stream(current)
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP):
                function(*self.inputs)
                self._forget()
        current.wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self.result = function(*self.inputs)
        except RuntimeError as error:
            why = str(error).splitlines()[0]
            print(f"training: a step cannot be recorded for the GPU, and is slower: {why}", file=sys.stderr, flush=True)
            self._forget()
            self.plainly = True
        else:
            self.gradients, self.graph = [parameter.grad for parameter in self.parameters], graph
        torch.cuda.set_rng_state(drawn, device)

    def _forget(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None
