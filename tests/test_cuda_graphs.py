"""How a step is captured, on GPUs that are described to a CPU; tests/test_cuda.py does it on a real one."""

import weakref
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from srkit.cuda_graphs import WARM_UP, CapturedStep


class Stream:
    def __init__(self, device):
        self.device, self.waited = torch.device(device), []

    def wait_stream(self, other):
        self.waited.append(other)


class Chance:
    """A GPU's generator: the state that it had when a capture began waits for that capture's end."""

    def __init__(self):
        self.waiting = False

    def clone_state(self):
        return False

    def graphsafe_set_state(self, waiting):
        self.waiting = waiting


class Described(torch.Tensor):
    """On the second GPU, as it says."""

    device = torch.device("cuda:1")


@pytest.fixture
def gpus(monkeypatch):
    """torch.cuda as on two GPUs, the first of them current; `capturing` is the stream whose work is recorded."""
    usual = {name: Stream(name) for name in ("cuda:0", "cuda:1")}
    seen = SimpleNamespace(current=usual["cuda:0"], capturing=None, replays=0, chance=(Chance(), Chance()))

    @contextmanager
    def stream(side):
        before, seen.current = seen.current, side
        yield
        seen.current = before

    @contextmanager
    def graph(graph, stream, capture_error_mode):
        before, seen.current, seen.capturing = seen.current, stream, stream
        chance = seen.chance[stream.device.index]
        chance.waiting = True
        try:
            yield
            chance.waiting = False
        finally:
            seen.current, seen.capturing = before, None

    described = {"stream": stream, "graph": graph, "Stream": Stream, "synchronize": lambda device: None}
    described["default_generators"] = seen.chance
    described["current_stream"] = lambda device: usual[str(device)]
    described["CUDAGraph"] = lambda: SimpleNamespace(replay=lambda: setattr(seen, "replays", seen.replays + 1))
    for name, value in described.items():
        monkeypatch.setattr(torch.cuda, name, value)
    return seen


def batch():
    return (torch.ones(2, 3, 4, 4).as_subclass(Described) for _ in range(2))


def test_the_steps_of_a_second_gpu_are_recorded_there(gpus):
    """On a stream of the current GPU nothing of them would be recorded, and each replay would train nothing."""
    where = []
    step = CapturedStep(lambda lr, hr: where.append((gpus.current, gpus.capturing)))
    for _ in range(WARM_UP + 3):
        step(*batch())
    assert len(where) == WARM_UP + 1
    assert len({current for current, _ in where}) == 1, "warmed up where it is recorded"
    assert all(current.device == torch.device("cuda:1") for current, _ in where)
    assert [capturing is not None for _, capturing in where] == [False] * WARM_UP + [True]
    assert gpus.replays == 3


def test_a_step_that_cannot_be_recorded_goes_on_as_it_is_and_nothing_of_the_attempt_stays_in_memory(gpus):
    held, alive = [], []

    def work(lr, hr):
        alive.append([each() is not None for each in held])
        if gpus.capturing:
            large = torch.zeros(3)
            held.append(weakref.ref(large))
            raise RuntimeError("operation not permitted when stream is capturing")
        return "made"

    step = CapturedStep(work)
    for _ in range(WARM_UP):
        assert step(*batch()) == "made"
    with pytest.warns(UserWarning, match="does not become a CUDA graph .operation not permitted.*runs as it is"):
        assert step(*batch()) == "made"
    assert step(*batch()) == "made"
    assert alive == [[]] * (WARM_UP + 1) + [[False]] * 2
    assert gpus.replays == 0
    assert not gpus.chance[1].waiting, "the next random number would be refused"
