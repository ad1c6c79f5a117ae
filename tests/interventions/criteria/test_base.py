"""What holds for criteria as such: registration, what they may return, what they share."""

import functools
import math
import statistics
from typing import Any, cast

import pytest

from interventions.criteria import base, sharing
from interventions.criteria.base import CRITERIA, Criterion, Scores, criterion, mean_scores, measure
from interventions.criteria.sharing import measuring, once, shared
from interventions.data.base import PARTS, Data
from interventions.errors import InvalidInput
from interventions.lm import LM


def a_criterion(value: float) -> Criterion:
    return Criterion("wrong", "higher", "", 1, frozenset(), lambda lm, data: Scores(value, 0.0, {}))


def test_an_unknown_criterion_is_named(lm: LM, small: Data) -> None:
    with pytest.raises(InvalidInput, match=r"no criterion is named 'mmmlu'\. Did you mean 'mmlu'"):
        measure(lm, small, ["mmmlu"])


@pytest.mark.parametrize(("value", "shown"), [(math.nan, "nan"), (-math.inf, "-inf")])
def test_a_criterion_may_be_neither_nan_nor_minus_infinity(
    lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch, value: float, shown: str
) -> None:
    criteria = {**CRITERIA.all(), "wrong": a_criterion(value)}
    monkeypatch.setattr(base.CRITERIA, "_entries", criteria)
    with pytest.raises(
        InvalidInput, match=f"criterion wrong must be finite or .inf, but got {shown}"
    ):
        measure(lm, small, ["wrong"])


def test_a_criterion_may_be_infinite(lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    criteria = {**CRITERIA.all(), "wrong": a_criterion(math.inf)}
    monkeypatch.setattr(base.CRITERIA, "_entries", criteria)
    assert measure(lm, small, ["wrong"])["wrong"].value == math.inf


def test_the_decorator_sets_every_fact_and_refuses_a_taken_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(base.CRITERIA, "_entries", dict(CRITERIA.all()))

    def size(lm: LM, data: Data) -> Scores:
        """Count parameters."""
        return Scores(1.0, 0.0, {})

    facts = criterion(
        better="lower", unit="parameters", reads=["edits"], version=3, chance=0.5, title="Size",
        group="sizes", judges=("compression",), category="compression", items="exact",
    )  # fmt: skip
    registered = facts(size)
    assert CRITERIA.get("size") is registered
    assert registered == Criterion(
        name="size", better="lower", unit="parameters", version=3, reads=frozenset({"edits"}),
        function=size, chance=0.5, title="Size", group="sizes", judges=("compression",),
        category="compression", items="exact",
    )  # fmt: skip
    assert registered.__doc__ == "Count parameters."
    with pytest.raises(ValueError, match="criterion 'size' is taken"):
        facts(size)


def test_a_criterions_identity_is_its_name_its_version_and_the_data_that_it_reads(
    small: Data,
) -> None:
    edits = Criterion(
        "size", "lower", "", 2, frozenset({"edits", "window"}), a_criterion(0).function
    )
    assert edits.identity(small) == [
        "size", 2, {"edits": small.identity("edits"), "window": small.identity("window")}
    ]  # fmt: skip


def test_mean_scores_are_the_mean_and_its_standard_error() -> None:
    values = [0.0, 0.25, 1.0, 0.5]
    scores = mean_scores({str(index): value for index, value in enumerate(values)})
    assert scores.value == statistics.mean(values)
    assert scores.stderr == pytest.approx(statistics.stdev(values) / math.sqrt(4))
    assert mean_scores({"first": 0.0, "second": 1.0}).stderr == 0.5
    assert math.isnan(mean_scores({"only": 1.0}).stderr)


def test_shared_results_are_computed_once_per_arguments_and_only_while_measuring() -> None:
    calls: list[int] = []

    @shared
    def squared(lm: object, number: int) -> int:
        calls.append(number)
        return number**2

    with measuring():
        assert [squared(None, 2), squared(None, 2), squared(None, 3)] == [4, 4, 9]
        assert once(("key",), lambda: 1) == once(("key",), lambda: 2) == 1
    assert calls == [2, 3]
    assert [squared(None, 2), squared(None, 2)] == [4, 4]
    assert calls == [2, 3, 2, 2]
    with measuring():
        squared(None, 2)
    assert calls == [2, 3, 2, 2, 2]


def test_a_failing_measurement_leaves_nothing_shared() -> None:
    with pytest.raises(RuntimeError), measuring():
        once(("key",), lambda: 1)
        raise RuntimeError
    assert sharing._RESULTS.get() is None


@pytest.mark.parametrize(
    ("reads", "items"),
    [(("edits",), "nested"), (("locality",), "nested"), (("window",), "crossed")],
)
def test_items_follow_from_what_is_read_where_they_are_not_declared(
    reads: tuple[str, ...], items: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base.CRITERIA, "_entries", dict(CRITERIA.all()))

    def odd(lm: LM, data: Data) -> Scores:
        return Scores(1.0, 0.0, {})

    assert criterion("lower", "share", reads)(odd).items == items


def test_items_that_change_with_the_batch_cannot_be_crossed_with_batches() -> None:
    with pytest.raises(InvalidInput, match=r"items cannot be crossed: .* has other edits"):
        criterion("lower", "share", ("edits", "window"), items="crossed")


def test_a_criterion_may_read_every_part_and_what_is_none_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(base.CRITERIA, "_entries", {})

    def size(lm: LM, data: Data) -> Scores:
        return Scores(1.0, 0.0, {})

    registered = criterion(better="lower", unit="", title="Size", reads=sorted(PARTS))(size)
    assert registered.reads == PARTS and registered.items == "nested"
    lacking = registered.lacks(Data("none"))
    assert lacking == sorted(lacking) and "edits" in lacking
    with pytest.raises(InvalidInput, match=r"^reads names 'a'; the data has: aliases, "):
        criterion(better="lower", unit="", title="Size", reads=["edits", *"zyxwvutsrqpa"])
    with pytest.raises(InvalidInput, match=rf"^reads names '{'e' * 98}…; the data has"):
        criterion(better="lower", unit="", title="Size", reads=["e" * 120])
    with pytest.raises(InvalidInput, match="another batch of edits has other aliases, which"):
        criterion(better="lower", unit="", title="Size", reads=sorted(PARTS), items="crossed")


@pytest.mark.parametrize("function", [5, functools.partial(print), vars])
def test_a_criterion_is_a_function_with_a_name(
    function: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base.CRITERIA, "_entries", {})
    register = criterion(better="lower", unit="", title="Size")
    if function is vars:
        assert register(cast(Any, function)).name == "vars"
    else:
        with pytest.raises(InvalidInput, match=r"^a criterion must be a function, but got"):
            register(cast(Any, function))


def test_three_near_names_are_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    criteria = {name: a_criterion(1.0) for name in ("recall1", "recall2", "recall3", "recall4")}
    monkeypatch.setattr(base.CRITERIA, "_entries", criteria)
    with pytest.raises(
        InvalidInput, match=r"named 'recall'\. Did you mean '\w+' or '\w+' or '\w+'\?"
    ):
        base.criterion_of(Data("none"), "recall")


@pytest.mark.parametrize("argument", ["reads", "judges", "needs"])
def test_names_that_are_no_text_are_refused(argument: str) -> None:
    names: Any = {argument: [1]}
    with pytest.raises(InvalidInput, match=f"^{argument} must be "):
        criterion(better="lower", unit="", title="Size", **names)
