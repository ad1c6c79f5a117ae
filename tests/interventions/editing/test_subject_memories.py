"""What is written layer by layer and read at subjects, with stand-ins for the model's passes."""

import contextlib
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from interventions.data.testbed import MODEL
from interventions.editing import subject_memories
from interventions.editing.prompts import EditPrompts
from interventions.errors import InvalidInput
from interventions.lm import skeleton


def test_what_is_missing_is_divided_by_the_layers_to_come_and_their_gains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 12, a third, then half of what is still missing, then all; block 4 doubles its MLP's."""
    weights = [torch.zeros(1, 1, dtype=torch.bfloat16) for _ in range(6)]
    gains = {4: 2.0, 1: 1.0, 5: 1.0}
    calls: list[tuple[object, ...]] = []

    def states(lm: object, prompts: object, layer: int) -> Tensor:
        calls.append((prompts, layer))
        return torch.stack([gains.get(i, 0) * w.float()[0] for i, w in enumerate(weights)]).sum(0)

    def in_parts(lm: object, edits: object, prefixes: object, *, answers: bool) -> object:
        assert (edits, prefixes) == (["edit"], ["", "a"])
        return f"answers={answers}"

    def change_of_layer(layer: int, missing: Tensor, keys: Tensor) -> Tensor:
        calls.append((layer, missing.item(), keys.item()))
        return missing.double()

    monkeypatch.setattr(EditPrompts, "in_parts", in_parts)
    monkeypatch.setattr(subject_memories, "states_at_subjects", states)
    monkeypatch.setattr(
        subject_memories, "keys_at_subjects", lambda lm, prompts, layer: torch.tensor(10.0 * layer)
    )
    monkeypatch.setattr(subject_memories, "blocks", lambda model: weights)
    monkeypatch.setattr(
        subject_memories, "down_projection", lambda weight: SimpleNamespace(weight=weight)
    )
    lm: Any = SimpleNamespace(model=None)
    edits: Any = ["edit"]
    targets = torch.tensor([[12.0]])
    subject_memories.write_targets(lm, edits, targets, gains, ["", "a"], change_of_layer)
    read = ("answers=False", 5)
    assert calls == [read, (1, 4, 10), read, (4, 2, 40), read, (5, 4, 50)]
    assert [weight.item() for weight in weights] == [0, 4, 0, 0, 2, 4]


class Part:
    """Prompts of two edits behind so many prefixes; the subject is each row's second token."""

    def __init__(self, each: int) -> None:
        self.each = each
        self.encoded = {"attention_mask": "mask"}
        self.subjects = torch.arange(2 * each), torch.ones(2 * each, dtype=torch.long)


@pytest.mark.parametrize(("each", "keys"), [(1, [0.0, 1.0]), (3, [0.75, 3.75])])
def test_the_bare_prompt_counts_as_much_as_all_prefixes_together(
    each: int, keys: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows 0, 1, 2 and 3, 4, 5: (0 + 3/2) / 2 and (3 + 9/2) / 2."""
    inputs = torch.arange(2.0 * each)[:, None, None] * torch.tensor([[100.0], [1.0]])
    layers: list[int] = []

    def taps(tapped: dict[str, str], see: Any) -> Any:
        assert tapped == {"down": "projection 7"}
        see("down", inputs)
        return contextlib.nullcontext()

    def hidden_states(model: object, encoded: object, layer: int) -> Tensor:
        layers.append(layer)
        return inputs

    def by_text(rows: Tensor, mask: str) -> Tensor:
        assert mask == "mask"
        return rows

    monkeypatch.setattr(subject_memories, "taps", taps)
    monkeypatch.setattr(subject_memories, "blocks", lambda model: range(9))
    monkeypatch.setattr(subject_memories, "down_projection", lambda block: f"projection {block}")
    monkeypatch.setattr(subject_memories, "hidden_states", hidden_states)
    monkeypatch.setattr(subject_memories, "by_text", by_text)
    lm: Any = SimpleNamespace(model=None)
    parts: Any = [Part(each), Part(each)]
    assert subject_memories.keys_at_subjects(lm, parts, 7).tolist() == [keys * 2]
    assert layers == [7, 7]
    states = subject_memories.states_at_subjects(lm, parts, 3)
    assert states.tolist() == [[0], [each]] * 2 and layers[2:] == [3, 3]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((0, 6), "memit.layers names layer 6, but the model has layers 0 to 5"),
        ((1, 1), r"memit.layers names layer 1 twice: \(1, 1\)"),
    ],
)
def test_layers_that_the_model_lacks_or_that_are_named_twice_cannot_be_written(
    layers: tuple[int, ...], message: str
) -> None:
    model = skeleton(MODEL)
    subject_memories.check_writable(model, (0, 5), "memit")
    with pytest.raises(InvalidInput, match=f"^{message}$"):
        subject_memories.check_writable(model, layers, "memit")


def test_a_second_moment_is_a_square_of_numbers_of_eight_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subject_memories, "blocks", lambda model: [5, 3, 2])
    monkeypatch.setattr(
        subject_memories, "down_projection", lambda width: SimpleNamespace(in_features=width)
    )
    model: Any = None
    assert subject_memories.moments_bytes(model, (2, 1)) == 8 * (4 + 9)
