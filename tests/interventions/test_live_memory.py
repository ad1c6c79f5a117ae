"""The count of live tensors' bytes, against cases that are counted by hand."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from interventions.live_memory import _is_counted, live_memory

DEVICES = pytest.mark.parametrize("device", ["cpu", "meta"])
FLOAT = 4  # bytes


@DEVICES
def test_a_tensor_counts_until_its_last_view_is_gone(device: str) -> None:
    with live_memory() as memory:
        numbers = torch.zeros(1000, device=device)
        row = numbers.view(10, 100)[3]
        assert memory.current_bytes == 1000 * FLOAT
        del numbers
        assert memory.current_bytes == 1000 * FLOAT
        del row
    assert (memory.current_bytes, memory.peak_bytes) == (0, 1000 * FLOAT)


@DEVICES
def test_an_operator_in_place_adds_nothing(device: str) -> None:
    with live_memory() as memory:
        numbers = torch.zeros(1000, device=device)
        numbers.mul_(2).add_(1)[:10].zero_()
        torch.add(numbers, 1, out=numbers)
    assert memory.peak_bytes == memory.current_bytes == 1000 * FLOAT


@DEVICES
def test_the_peak_has_what_an_operator_reads_and_what_it_returns(device: str) -> None:
    with live_memory() as memory:
        numbers = torch.zeros(1000, device=device)
        numbers = numbers.to(torch.float64)
    assert memory.peak_bytes == 1000 * (FLOAT + 8)
    assert memory.current_bytes == 1000 * 8
    assert numbers.numel() == 1000


@DEVICES
def test_what_was_there_before_counts_only_if_it_is_registered(device: str) -> None:
    layer = nn.Linear(100, 100, device=device)
    inputs = torch.zeros(5, 100, device=device)
    with live_memory() as without:
        outputs = layer(inputs).view(-1)
        layer.weight.detach().add_(1)
        inputs[2].add_(1)
    assert without.current_bytes == without.peak_bytes == 500 * FLOAT
    del outputs
    with live_memory(layer, inputs) as memory:
        assert memory.peak_bytes == (100 * 100 + 100 + 500) * FLOAT
        assert memory.current_bytes == (100 * 100 + 100 + 500) * FLOAT
        memory.register(layer.weight)
        assert memory.current_bytes == (100 * 100 + 100 + 500) * FLOAT
        inputs = inputs + 1
        assert memory.current_bytes == (100 * 100 + 100 + 500) * FLOAT
    assert memory.peak_bytes == (100 * 100 + 100 + 500 + 500) * FLOAT


@DEVICES
def test_what_autograd_saves_counts_until_the_backward_pass(device: str) -> None:
    weight = torch.zeros(100, 100, device=device, requires_grad=True)
    with live_memory(weight) as memory:
        loss = (weight * 2).exp().exp().sum()
        # each exp saves its result
        assert memory.current_bytes == 3 * 10000 * FLOAT + FLOAT
        loss.backward()
        del loss
        # the weight and its gradient
        assert memory.current_bytes == 2 * 10000 * FLOAT
        weight.grad = None
        assert memory.current_bytes == 10000 * FLOAT
    with live_memory(weight) as memory:
        (weight * 1).sum().backward()
        (weight * 1).sum().backward()
    # at the end of the second: weight, gradient, what is added to it
    assert memory.peak_bytes == 3 * 10000 * FLOAT + FLOAT * 2
    assert weight.grad is not None
    with live_memory(weight) as memory:
        assert memory.current_bytes == 2 * 10000 * FLOAT


@DEVICES
def test_checkpointing_holds_only_the_inputs_of_its_segments(device: str) -> None:
    layers = nn.ModuleList(nn.Linear(64, 64, bias=False, device=device) for _ in range(8))
    inputs = torch.zeros(1024, 64, device=device)
    activations = 1024 * 64 * FLOAT

    def block(layer: nn.Module, hidden: Tensor) -> Tensor:
        return torch.tanh(layer(torch.tanh(layer(torch.tanh(layer(hidden))))))

    held, peaks = {}, {}
    for saving in (False, True):
        hidden = inputs
        with live_memory() as memory:
            for layer in layers:
                if saving:
                    hidden = checkpoint(block, layer, hidden, use_reentrant=False)
                else:
                    hidden = block(layer, hidden)
            held[saving] = memory.current_bytes
            hidden.sum().backward()
        peaks[saving] = memory.peak_bytes
        layers.zero_grad()
    assert held[False] == 8 * 3 * activations
    assert held[True] == 8 * activations
    assert peaks[True] < peaks[False] / 2


@DEVICES
def test_attention_counts_as_a_fused_kernel(device: str) -> None:
    query = torch.zeros(1, 4, 512, 8, device=device, requires_grad=True)
    mask = torch.zeros(1, 1, 512, 512, device=device)
    for arguments in ({"is_causal": True}, {"attn_mask": mask}):
        with live_memory() as memory:
            output = F.scaled_dot_product_attention(query, query, query, **arguments)
            # the output, and a number for each token of each head
            assert memory.current_bytes == (4 * 512 * 8 + 4 * 512) * FLOAT
            assert memory.peak_bytes < 512 * 512 * FLOAT
            output.sum().backward()
        query.grad = None


def test_a_storage_that_grows_counts_as_it_is() -> None:
    with live_memory() as memory:
        numbers = torch.zeros(10)
        numbers.resize_(1000)
    assert memory.current_bytes == memory.peak_bytes == 1000 * FLOAT


def test_only_the_tensors_of_the_device_count() -> None:
    with live_memory(device="meta") as memory:
        on_cpu, on_meta = torch.zeros(1000), torch.zeros(10, device="meta")
    assert memory.peak_bytes == 10 * FLOAT
    assert on_cpu.numel() == 1000 and on_meta.numel() == 10


def test_the_peak_starts_again_from_what_is_alive() -> None:
    with live_memory() as memory:
        kept = torch.zeros(10)
        torch.zeros(1000)
        memory.reset_peak()
        assert memory.peak_bytes == 10 * FLOAT
        torch.zeros(100)
    assert memory.peak_bytes == 110 * FLOAT
    assert kept.numel() == 10


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_count_is_the_allocators_peak() -> None:
    layers = nn.Sequential(*(nn.Linear(1024, 1024) for _ in range(4)), nn.GELU()).to("cuda")
    inputs = torch.zeros(4096, 1024, device="cuda")
    layers(inputs).sum().backward()  # libraries allocate their workspaces at first use
    layers.zero_grad()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    with live_memory(device="cuda") as memory:
        layers(inputs).sum().backward()
    allocated = torch.cuda.max_memory_allocated() - before
    assert memory.peak_bytes == pytest.approx(allocated, rel=0.05)


@DEVICES
def test_in_inference_mode_what_operators_call_is_seen(device: str) -> None:
    """There they are not taken apart before: the log-probabilities are within cross_entropy."""
    logits = torch.zeros(100, 50, device=device)
    targets = torch.zeros(100, dtype=torch.int64, device=device)
    for mode in (torch.inference_mode(), torch.no_grad()):
        with mode, live_memory() as memory:
            F.cross_entropy(logits, targets)
        assert memory.peak_bytes >= logits.nbytes


def test_a_tensor_without_one_storage_does_not_count() -> None:
    with live_memory() as memory:
        square = torch.zeros(10, 10)
        sparse = square.to_sparse()
        memory.register(sparse)
    assert sparse.is_sparse and memory.current_bytes == 100 * FLOAT


@pytest.mark.parametrize(("asked", "counts"), [("cuda", True), ("cuda:1", True), ("cuda:0", False)])
def test_of_a_device_with_an_index_only_its_own_tensors_count(asked: str, counts: bool) -> None:
    tensor: Any = SimpleNamespace(layout=torch.strided, device=torch.device("cuda:1"))
    assert _is_counted(tensor, torch.device(asked)) is counts
    assert _is_counted(tensor, None) and not _is_counted(tensor, torch.device("cpu"))


def test_where_nothing_is_made_nothing_is_counted() -> None:
    with live_memory() as memory:
        pass
    assert (memory.current_bytes, memory.peak_bytes) == (0, 0)


@DEVICES
def test_in_inference_mode_an_operator_has_its_named_arguments(device: str) -> None:
    numbers = torch.zeros(10, device=device)
    with torch.inference_mode(), live_memory() as memory:
        doubles = torch.ops.aten.to.dtype_layout(numbers, dtype=torch.float64)
    assert doubles.dtype is torch.float64 and memory.current_bytes == 10 * 8
