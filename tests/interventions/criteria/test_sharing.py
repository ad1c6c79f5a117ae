"""What criteria share is computed once while a model is measured, and never beyond it."""

from typing import Any

from interventions.criteria.sharing import measuring, once, shared


def test_a_key_is_computed_once_within_a_block_and_each_time_outside() -> None:
    numbers = iter(range(9))

    def compute() -> int:
        return next(numbers)

    assert [once(("a",), compute), once(("a",), compute)] == [0, 1]
    with measuring():
        assert [once(("a",), compute), once(("b",), compute), once(("a",), compute)] == [2, 3, 2]
        with measuring():
            assert once(("a",), compute) == 4
        assert once(("a",), compute) == 2
    assert once(("a",), compute) == 5


def test_a_shared_function_is_computed_once_for_its_arguments_beside_the_model() -> None:
    calls: list[tuple[Any, ...]] = []

    @shared
    def first(lm: Any, text: str) -> str:
        calls.append((lm, text))
        return text.upper()

    @shared
    def second(lm: Any, text: str) -> str:
        return text.title()

    model: Any = "model"
    with measuring():
        results = [first(model, "ab"), first(model, "ab"), first(model, "cd"), second(model, "ab")]
    assert results == ["AB", "AB", "CD", "Ab"]
    assert calls == [("model", "ab"), ("model", "cd")]
    assert first.__name__ == "first"
