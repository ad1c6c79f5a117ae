"""What follows from ids and masks is known on the meta device, and what a model computes is not."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from interventions.rehearsal.meta import Takes, rehearse
from interventions.rehearsal.speed import H100, speed_of


def rehearsed(action: Callable[[], Any]) -> tuple[Any, Takes]:
    return rehearse(action, [], H100)


def on_meta(values: list[Any]) -> torch.Tensor:
    return torch.tensor(values).to("meta")


def test_masks_and_labels_are_known_through_all_that_is_done_to_them() -> None:
    def ask() -> list[Any]:
        mask = on_meta([[1, 1, 0], [1, 0, 0]]).bool()
        ids = on_meta([[5, 6, 0], [7, 0, 0]])
        labels = ids.masked_fill(~mask, -100)
        rows, places = (labels[:, 1:] != -100).nonzero(as_tuple=True)
        return [
            bool(mask.all()),
            int(mask.sum()),
            ids[0][mask[0]].tolist(),
            (rows.tolist(), places.tolist()),
            torch.equal(ids, ids.clone()),
            torch.arange(4, device="meta")[2].item(),
            torch.zeros(3, dtype=torch.int64, device="meta").tolist(),
            torch.tensor([8, 9], device="meta").tolist(),
            rows.bincount(minlength=3).tolist(),
            ids.cpu().tolist(),
        ]

    answers, takes = rehearsed(ask)
    assert answers == [
        False,
        3,
        [5, 6],
        ([0], [0]),
        True,
        2,
        [0, 0, 0],
        [8, 9],
        [1, 0, 0],
        [[5, 6, 0], [7, 0, 0]],
    ]
    assert takes.made_up == 0


def test_a_number_that_a_model_computes_is_made_up_and_counted() -> None:
    def ask() -> list[Any]:
        losses = torch.rand(3, device="meta")
        return [losses[0].item() > 1e6, bool((losses < 1).all()), int(losses.long()[0])]

    answers, takes = rehearsed(ask)
    assert answers == [True, False, 1]
    assert takes.made_up == 3


def test_a_copy_on_the_cpu_of_what_is_not_known_takes_no_memory() -> None:
    def ask() -> torch.Tensor:
        return torch.rand(100_000, 100_000, device="meta").cpu()

    copied, takes = rehearsed(ask)
    assert copied.shape == (100_000, 100_000) and copied.device.type == "cpu"
    assert copied.untyped_storage().nbytes() <= 8
    assert takes.made_up == 1


def test_what_is_written_over_is_not_known_any_more() -> None:
    def ask() -> list[Any]:
        ids = on_meta([1, 2, 3])
        view = ids[1:]
        ids.add_(10)
        known = view.tolist()
        ids.copy_(torch.rand(3, device="meta"))
        return [known, view.tolist(), ids.tolist()]

    answers, takes = rehearsed(ask)
    assert answers[0] == [12, 13]
    assert takes.made_up == 2


def test_the_callers_tensor_is_not_written_to() -> None:
    ids = torch.tensor([1, 2, 3])

    def change() -> list[int]:
        there = ids.to("meta")
        there.mul_(10)
        return list(there.tolist())

    assert rehearsed(change)[0] == [10, 20, 30]
    assert ids.tolist() == [1, 2, 3]


def test_a_mask_picks_as_many_rows_as_it_has() -> None:
    def pick() -> list[torch.Size]:
        states = torch.rand(2, 3, 8, device="meta", requires_grad=True)
        mask = on_meta([[True, True, False], [True, False, False]])
        picked = states[mask]
        picked.sum().backward()
        unknown = torch.rand(2, 3, device="meta") > 0.5
        return [picked.shape, states[unknown].shape, states.grad.shape]  # type: ignore[union-attr]

    shapes, _ = rehearsed(pick)
    # of a mask that is not known, all
    assert shapes == [(3, 8), (6, 8), (2, 3, 8)]


def test_a_model_chooses_the_same_token_again_and_again() -> None:
    def choose() -> list[Any]:
        logits = torch.rand(2, 50, device="meta")
        sampled = torch.multinomial(logits.softmax(-1), 1)
        return [logits.argmax(-1).tolist(), sampled.tolist()]

    assert rehearsed(choose) == ([[10, 10], [[10], [10]]], rehearsed(choose)[1])


def test_in_inference_mode_operators_are_taken_apart() -> None:
    def compute() -> torch.Tensor:
        with torch.inference_mode():
            inputs, weight = torch.rand(7, 5, device="meta"), torch.rand(3, 5, device="meta")
            return torch.nn.functional.linear(inputs, weight)

    output, takes = rehearsed(compute)
    assert output.shape == (7, 3)
    assert takes.peak_bytes == 4 * (35 + 15 + 21)


def test_a_size_that_is_not_known_is_an_error() -> None:
    with pytest.raises(NotImplementedError, match="values that are not known"):
        rehearsed(lambda: torch.rand(5, device="meta").unique())


def test_of_what_is_not_known_the_most_is_taken() -> None:
    def ask() -> list[Any]:
        numbers = torch.rand(2, 3, device="meta")
        mask = numbers > 0.5
        return [
            mask.cpu().tolist(),
            numbers.cpu().tolist(),
            mask.nonzero().shape,
            torch.equal(numbers, numbers * 2),
        ]

    answers, takes = rehearsed(ask)
    assert answers == [[[False] * 3] * 2, [[1.0] * 3] * 2, (6, 2), False]
    assert takes.made_up == 3  # two copies and a comparison; sizes are no numbers


def test_a_copy_has_the_dtype_that_is_asked_for_also_where_the_host_is_the_device() -> None:
    def ask() -> list[Any]:
        ids, unknown = on_meta([1, 2]), torch.rand(3, device="meta")
        return [
            ids.to("cpu", torch.float64).tolist(),
            unknown.to("cpu", torch.float64).dtype,
            unknown.to("cpu", torch.float64).to("meta").dtype,
            unknown.cpu().to("meta", torch.float64).dtype,
            unknown.cpu().to("meta").dtype,
        ]

    for device in ("cpu", "cuda"):
        answers, _ = rehearse(ask, [], speed_of(device))
        assert answers == [[1.0, 2.0], *[torch.float64] * 3, torch.float32]


def test_an_index_may_have_positions_and_whole_dimensions_beside_a_mask() -> None:
    def pick() -> list[torch.Size]:
        states = torch.rand(2, 3, 8, device="meta")
        columns = on_meta([True, False, True])
        rows = on_meta([1, 1, 0, 1])
        return [states[:, columns].shape, states[rows].shape, states[rows[:2], columns].shape]

    assert rehearsed(pick)[0] == [(2, 2, 8), (4, 3, 8), (2, 8)]


def test_what_is_written_to_one_tensor_leaves_the_others_known() -> None:
    def ask() -> list[Any]:
        first, second = on_meta([1, 2]), on_meta([3, 4])
        first.copy_(torch.rand(2, device="meta"))
        return [second.tolist(), first[0].item()]

    answers, takes = rehearsed(ask)
    assert answers == [[3, 4], 1] and takes.made_up == 1
