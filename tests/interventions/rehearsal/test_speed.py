"""How long operators take: by their arithmetic, their bytes, or their start."""

import pytest
import torch

from interventions.rehearsal.speed import H100, Speed, operations, speed_of

aten = torch.ops.aten
SLOW = Speed("slow", {torch.float32: 1000.0}, bytes=100.0, operator_seconds=7.0)


def meta(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


@pytest.mark.parametrize(
    ("func", "inputs", "count"),
    [
        (aten.mm.default, [(2, 3), (3, 5)], 2 * 2 * 3 * 5),
        (aten.addmm.default, [(5,), (2, 3), (3, 5)], 2 * 2 * 3 * 5),
        (aten.bmm.default, [(7, 2, 3), (7, 3, 5)], 2 * 7 * 2 * 3 * 5),
        # scores and their product with the values
        (
            aten._scaled_dot_product_flash_attention_for_cpu.default,
            [(1, 4, 6, 8), (1, 4, 9, 8), (1, 4, 9, 8)],
            2 * 2 * 4 * 6 * 8 * 9,
        ),
        # backwards two and a half times as much; the gradient comes first
        (
            aten._scaled_dot_product_flash_attention_for_cpu_backward.default,
            [(1, 4, 6, 8), (1, 4, 6, 8), (1, 4, 9, 8), (1, 4, 9, 8)],
            2.5 * 2 * 2 * 4 * 6 * 8 * 9,
        ),
        (aten.baddbmm.default, [(7, 2, 5), (7, 2, 3), (7, 3, 5)], 2 * 7 * 2 * 3 * 5),
        (aten.linalg_cholesky_ex.default, [(30, 30)], 30**3 / 3),
        (aten.cholesky_inverse.default, [(30, 30)], 30**3 * 2 / 3),
        (aten._linalg_solve_ex.default, [(30, 30), (30, 2)], 30**3 * 2 / 3),
        (aten.add.Tensor, [(2, 3), (2, 3)], 0),
    ],
)
def test_operations_are_those_of_the_matrix_products(
    func: object, inputs: list[tuple[int, ...]], count: float
) -> None:
    assert operations(func, [meta(*shape) for shape in inputs], []) == pytest.approx(count)


def test_the_slower_of_arithmetic_and_bytes_counts() -> None:
    square = meta(10, 10)
    # 2,000 operations take 2 s, and 1,200 bytes 12 s
    assert SLOW.seconds(aten.mm.default, [square, square], [square]) == 12 + 7
    large = meta(1000, 1000)
    assert SLOW.seconds(aten.mm.default, [large, large], [large]) == 2e9 / 1000 + 7
    assert SLOW.seconds(aten.add.Tensor, [square, square], [square]) == 12 + 7


def test_a_view_takes_no_time() -> None:
    assert SLOW.seconds(aten.transpose.int, [meta(2, 3)], [meta(3, 2)]) == 0


def test_every_gpu_counts_as_an_h100_and_a_cpu_by_its_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert speed_of("cuda") == speed_of("cuda:3") == H100
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    one = speed_of("cpu").operations[torch.float32]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert speed_of("cpu").operations[torch.float32] == 8 * one


def test_an_h100_reaches_a_share_of_what_its_data_sheet_says() -> None:
    """Dense: 67 TFLOP/s in float64 on tensor cores and in float32, 989 in 16 bits."""
    peak = {torch.float32: 67e12, torch.float64: 67e12, torch.bfloat16: 989e12}
    for dtype, most in peak.items():
        assert 0.4 * most <= H100.operations[dtype] <= 0.6 * most
    assert H100.operations[torch.float16] == H100.operations[torch.bfloat16]


def test_the_rate_is_that_of_the_first_numbers_dtype_or_of_float32() -> None:
    rates = {torch.float32: 1000.0, torch.bfloat16: 4000.0}
    speed = Speed("two rates", rates, bytes=1e9, operator_seconds=0.0)
    square = meta(100, 100)
    for dtype, rate in ((torch.float32, 1000), (torch.bfloat16, 4000), (torch.float64, 1000)):
        typed = square.to(dtype)
        assert speed.seconds(aten.mm.default, [typed, typed], [typed]) == 2e6 / rate
    # ids have no arithmetic of their own, and what an operator of integers does is moving
    ids = torch.empty(100, dtype=torch.int64, device="meta")
    assert speed.seconds(aten.add.Tensor, [ids, ids], [ids]) == 3 * 800 / 1e9


def test_speeds_are_those_that_were_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounded from what benchmarks/shapes.py measured: operations and bytes per second."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    single, double = torch.float32, torch.float64
    brain, half = torch.bfloat16, torch.float16
    cores = {single: 1.5e11, double: 7.5e10, brain: 3e9, half: 3e9}
    assert speed_of("cpu") == Speed("this CPU", cores, 5e9, 1.5e-5, is_host=True)
    gpu = {single: 4e13, double: 3e13, brain: 4e14, half: 4e14}
    assert speed_of("cuda:1") == Speed("an NVIDIA H100", gpu, 2e12, 1e-5)
