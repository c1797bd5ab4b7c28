"""A training step as one CUDA graph: a GPU is then given some hundred kernels at once, and never waits for Python.

On a large GPU SRResNet's step takes 20 ms when Python launches each kernel, and the kernels themselves a tenth of that.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

WARM_UP = 3  # ordinary calls before the capture, in which libraries choose their ways and optimisers make their state


class CapturedStep:
    """work(lr, hr), a whole training step, recorded once and replayed from then on: PyTorch's notes on CUDA semantics.

    work may only do what is the same at each call: no `.item()`, no Python number that changes, each random number from
    the GPU's own generator. What it returns lies in memory that the next call writes anew. Where the capture fails, the
    step stays as it is, after a warning.
    """

    def __init__(self, work: Callable[[Tensor, Tensor], Any]):
        self.work, self.calls, self.failed = work, 0, False
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, lr: Tensor, hr: Tensor) -> Any:
        self.calls += 1
        if self.failed:
            return self.work(lr, hr)
        if self.calls <= WARM_UP:
            return self._beside(lr, hr)
        if self.graph is None:
            try:
                self._capture(lr, hr)
            except RuntimeError as error:
                self.failed = True
                torch.cuda.synchronize()
                warnings.warn(f"this step does not become a CUDA graph ({error}): it runs as it is.", stacklevel=2)
                return self.work(lr, hr)
        self.lr.copy_(lr)
        self.hr.copy_(hr)
        self.graph.replay()
        return self.answer

    def _beside(self, lr: Tensor, hr: Tensor) -> Any:
        """On a stream of its own, as the capture will be, so that autograd keeps nothing of the usual one."""
        usual, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(usual)
        with torch.cuda.stream(side):
            answer = self.work(lr, hr)
        usual.wait_stream(side)
        return answer

    def _capture(self, lr: Tensor, hr: Tensor) -> None:
        self.lr, self.hr, graph = lr.clone(), hr.clone(), torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self.answer = self.work(self.lr, self.hr)
        self.graph = graph
