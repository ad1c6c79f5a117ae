"""How often what an MLP writes reaches the stream, with a stand-in for the model's passes."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from interventions.editing import stream
from interventions.editing.stream import check_no_norm_after, stream_gains
from interventions.errors import InvalidInput
from tests.interventions.editing.test_stream import SCALED

ONES = torch.ones(1, 3, 4)
SIGNS = torch.tensor([-1.0, 1.0, -1.0, 1.0])


def gain_of(change: Tensor, size: float, monkeypatch: pytest.MonkeyPatch) -> float:
    """The gain where what is added of the stream's size changes the states by so much."""
    module = nn.Identity()

    def hidden_states(model: object, encoded: object, layer: int) -> Tensor:
        added = module(torch.zeros(1, 3, 4))
        assert (layer == 5 and (added.abs() == size).all()) or not added.any()
        return size * ONES + (change if added[0, 0, 1] > 0 else 0)

    monkeypatch.setattr(stream, "blocks", lambda model: [None] * 6)
    monkeypatch.setattr(stream, "down_projection", lambda block: SimpleNamespace(module=module))
    monkeypatch.setattr(stream, "hidden_states", hidden_states)
    lm: Any = SimpleNamespace(
        device=torch.device("cpu"), model=nn.Identity(), encode=lambda texts: texts
    )
    gains = stream_gains(lm, [5], "memit")
    assert not module._forward_hooks
    return gains[5]


@pytest.mark.parametrize(
    ("scale", "gain"), [(1.0, 1.0), (0.25, 0.25), (1.125, 1.125), (0.96, 1.0), (1.04, 1.0)]
)
def test_a_gain_is_measured_and_one_of_about_1_is_1(
    scale: float, gain: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for size in (1.0, 4.0):
        measured = gain_of(scale * size * SIGNS.expand(1, 3, 4), size, monkeypatch)
        assert measured == pytest.approx(gain, rel=1e-6)


def test_a_gain_that_differs_by_the_tolerance_is_no_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_TOLERANCE", 0.25)
    assert gain_of(1.25 * SIGNS.expand(1, 3, 4), 1.0, monkeypatch) == 1.25
    assert gain_of(1.125 * SIGNS.expand(1, 3, 4), 1.0, monkeypatch) == 1


@pytest.mark.parametrize(
    "change",
    [
        -1.0 * SIGNS.expand(1, 3, 4),
        0.0 * ONES,
        SIGNS * torch.tensor([1.0, 1.0, 0.8])[:, None],  # not alike at every token
        SIGNS + torch.tensor([0.2, 0.0, 0.0, 0.0]),
        SIGNS * torch.nan,
    ],
)
def test_what_does_not_come_through_as_it_is_is_refused(
    change: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidInput, match="what the MLP of block 5 writes does not reach"):
        gain_of(change, 1.0, monkeypatch)


def test_a_deviation_of_the_tolerance_still_counts_as_coming_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """(-1, 1) at right angles to what was added: as long as half of it is."""
    monkeypatch.setattr(stream, "_TOLERANCE", 0.5)
    beside = torch.tensor([0.5, 0.5, 0.5, 0.5])
    assert gain_of((SIGNS + beside).expand(1, 3, 4), 1.0, monkeypatch) == 1
    with pytest.raises(InvalidInput, match="does not reach the stream"):
        gain_of((SIGNS + 1.01 * beside).expand(1, 3, 4), 1.0, monkeypatch)


def test_where_nothing_is_computed_gains_are_1() -> None:
    lm = SimpleNamespace(device=torch.device("meta"))
    assert stream_gains(cast(Any, lm), (3, 1), "memit") == {3: 1.0, 1: 1.0}


@pytest.mark.parametrize("is_training", [True, False])
def test_the_pass_that_looks_for_norms_keeps_no_states_and_changes_nothing(
    is_training: bool,
) -> None:
    model = SCALED.model().train(is_training)
    calls: list[dict[str, Any]] = []

    def note(module: nn.Module, args: object, kwargs: dict[str, Any]) -> None:
        calls.append({**kwargs, "training": module.training})

    handle = model.register_forward_pre_hook(note, with_kwargs=True)
    check_no_norm_after(model, (0, 2), "memit")
    handle.remove()
    (call,) = calls
    assert call["use_cache"] is False and call["training"] is False
    assert call["input_ids"].tolist() == [[0, 0]] and call["attention_mask"].shape == (1, 1, 2, 2)
    assert model.training is is_training


class Choosy(nn.Module):
    """One block, which norms before or behind its MLP, and fails at the end where it has a mask."""

    def __init__(self, is_behind: bool) -> None:
        super().__init__()
        self.norm, self.down = nn.LayerNorm(2), nn.Linear(2, 2)
        self.order = [self.down, self.norm] if is_behind else [self.norm, self.down]

    def forward(self, input_ids: Tensor, use_cache: bool, attention_mask: Any = None) -> None:
        for module in self.order:
            module(torch.zeros(1, 2))
        if attention_mask is not None:
            raise ValueError("a mask of another shape")


def test_a_pass_that_failed_says_nothing_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "blocks", lambda model: [model])
    monkeypatch.setattr(stream, "text_config", lambda model: None)
    monkeypatch.setattr(stream, "down_projection", lambda block: SimpleNamespace(module=block.down))
    check_no_norm_after(cast(Any, Choosy(is_behind=False)), (0,), "memit")
    with pytest.raises(InvalidInput, match="norm of block 0 runs behind the MLP"):
        check_no_norm_after(cast(Any, Choosy(is_behind=True)), (0,), "memit")


def test_that_a_block_has_no_one_down_projection_is_said_before_its_norms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    block = nn.ModuleDict({"post_mlp_norm": nn.Identity()})
    monkeypatch.setattr(stream, "blocks", lambda model: [block])

    def with_experts(block: nn.Module) -> None:
        raise InvalidInput("it has experts")

    monkeypatch.setattr(stream, "down_projection", with_experts)
    with pytest.raises(InvalidInput, match="it has experts"):
        check_no_norm_after(cast(Any, nn.Identity()), (0,), "memit")
    monkeypatch.setattr(stream, "down_projection", lambda block: None)
    with pytest.raises(InvalidInput, match="post_mlp_norm of its blocks rescales"):
        check_no_norm_after(cast(Any, nn.Identity()), (0,), "memit")
