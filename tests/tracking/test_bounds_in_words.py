"""What is logged and printed at the very bounds where it is cut."""

import json

import pytest

from tracking import reachable
from tracking.costs.planned import gib
from tracking.costs.room import GIB
from tracking.failures import failures_tag, from_tag
from tracking.registration import _shortened
from tracking.schema import FAILED_CRITERIA


def test_a_description_has_room_for_five_thousand_characters() -> None:
    card = ("x" * 99 + "\n") * 50
    assert _shortened(card) == card
    shorter = _shortened(card + "y")
    assert len(shorter) <= 5000 and shorter.startswith("x" * 99 + "\n")
    lines = shorter.split("\n\n*The whole card is among the run's artifacts")[0].splitlines()
    assert {len(line) for line in lines} == {99} and len(lines) == 49


def test_a_tag_has_room_for_five_thousand_characters_of_reasons() -> None:
    empty = len(json.dumps({"2": {"mmlu": ""}}))
    for length, is_whole in ((5000 - empty, True), (5001 - empty, False)):
        text = failures_tag({2: {"mmlu": "x" * length}})
        reason = "x" * length if is_whole else ""
        assert from_tag({FAILED_CRITERIA: text}) == {2: {"mmlu": reason}}


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (GIB, "1.0"),
        (GIB - 1, "1.000"),
        (GIB // 2, "0.500"),
        (1, "0.000"),
        (0, "0"),
        (None, "unknown"),
    ],
)
def test_less_than_a_gibibyte_has_three_digits(size: int | None, text: str) -> None:
    assert gib(size) == text


@pytest.mark.parametrize(("length", "is_cut"), [(150, False), (151, True)])
def test_an_address_is_shown_up_to_a_hundred_and_fifty_characters(
    length: int, is_cut: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "http://" + "a" * (length - 7)
    monkeypatch.setattr(reachable, "shown_address", lambda: address)
    expected = address[:149] + "…" if is_cut else address
    assert reachable._short_address() == expected
