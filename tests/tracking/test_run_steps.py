"""The steps of a run: which checkpoints it logs and holds meanwhile, and what it says of each."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Self

import pytest

from interventions.composition import Composition
from tracking import run as run_module
from tracking.run import _all_steps
from tracking.settings import Settings
from tracking.step_facts import StepFacts


class FakeChain:
    """A chain of which nothing is computed.

    Attributes:
        lost: the compressions that have to be applied again; None where there can be none.
        unchanged: the steps that change no weight.
    """

    def __init__(self, spec: str, policy: str, lost: str | None = None) -> None:
        self.steps = list(Composition.parse(spec))
        self.plan = SimpleNamespace(settings=Settings(checkpoints=policy), spec=lambda: spec)
        self.steps_applied = self.steps_reused = 0
        self.seconds = {"measure": 0.0}
        self.lost, self.unchanged = lost, list[int]()
        self.on_stage: Callable[[str], None] = lambda text: None

    @property
    def keys(self) -> list[str]:
        return [f"key {k}" for k in range(len(self.steps) + 1)]

    def may_recompress(self) -> bool:
        return self.lost is not None

    def recompress(self) -> Composition:
        assert self.lost is not None
        added = Composition.parse(self.lost)
        self.steps += added
        return added

    def measure(self, k: int) -> tuple[str, str]:
        return f"scores {k}", f"measuring {k}"

    def cost_of_step(self, k: int) -> str:
        return f"applying {k}"

    def facts_of_step(self, k: int) -> StepFacts:
        return StepFacts(k not in self.unchanged, {}, f"weights {k}")


class FakeLog:
    """A log that notes what it is told."""

    def __init__(self) -> None:
        self.steps: list[tuple[Any, ...]] = []
        self.recompressions: list[tuple[str, str]] = []
        self.uses: list[tuple[int, bool]] = []

    def step(self, k: int, intervention: Any, *about: Any) -> None:
        self.steps.append((k, intervention and intervention.name, *about))

    def recompression(self, added: Composition, key: str) -> None:
        self.recompressions.append((added.spec(), key))

    def reused(self, steps: int, is_all_cached: bool) -> None:
        self.uses.append((steps, is_all_cached))


class FakeHolding:
    """Stands in for the checkpoints that are held; notes what is done with which of them."""

    def __init__(self) -> None:
        self.logged: list[int] = []
        self.asked: list[int] = []
        self.released: list[int] = []

    def __call__(self, chain: FakeChain) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Release nothing."""

    def folder(self, k: int) -> None:
        self.asked.append(k)

    def release(self, before: int) -> None:
        self.released.append(before)

    def log(self, chain: FakeChain, log: FakeLog, k: int, held: Self) -> str:
        assert held is self
        self.logged.append(k)
        return f"model {k}"


class FakeBar:
    """Stands in for tqdm's bar, after some seconds."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.format_dict = {"elapsed": 0.0}
        self.updates = 0
        self.shown: list[tuple[str, bool]] = []

    def __call__(self, **options: Any) -> Self:
        self.options = options
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Close nothing."""

    def update(self) -> None:
        self.updates += 1

    def set_postfix_str(self, text: str, refresh: bool) -> None:
        self.shown.append((text, refresh))


@pytest.fixture
def holding(monkeypatch: pytest.MonkeyPatch) -> FakeHolding:
    stand_in = FakeHolding()
    monkeypatch.setattr(run_module, "HeldCheckpoints", stand_in)
    monkeypatch.setattr(run_module, "_log_checkpoint", stand_in.log)
    return stand_in


@pytest.fixture
def bar(monkeypatch: pytest.MonkeyPatch) -> FakeBar:
    stand_in = FakeBar()
    monkeypatch.setattr(run_module, "tqdm", stand_in)
    return stand_in


def run_all(chain: FakeChain) -> FakeLog:
    log: Any = FakeLog()
    stand_in: Any = chain
    _all_steps(stand_in, log)
    return log


@pytest.mark.parametrize(
    ("spec", "policy", "lost", "logged"),
    [
        ("ft | rtn", "all", "rtn", [1, 2, 3]),
        ("ft | rtn", "all", "none", [1, 2]),
        ("ft | rtn", "changed", "rtn", [1, 2, 3]),
        ("ft | rtn", "last", "rtn", [3]),
        ("ft | rtn", "last", "rtn | magnitude", [4]),
        ("ft | rtn", "last", "none", [2]),
        ("ft | lora", "last", None, [2]),
        ("none", "last", None, []),
        ("none", "all", None, []),
        ("none", "last", "none", []),
        ("ft | rtn", "none", "rtn", []),
        ("ft | rtn", "none", "none", []),
    ],
)
def test_each_checkpoint_is_logged_once_where_it_is_asked_for(
    spec: str, policy: str, lost: str | None, logged: list[int], holding: FakeHolding
) -> None:
    log = run_all(FakeChain(spec, policy, lost))
    assert holding.logged == logged
    steps_with_checkpoint = [step[0] for step in log.steps if step[6] is not None]
    # that of the last step is known to be the last only after its metrics are logged
    assert steps_with_checkpoint == ([] if (policy, lost) == ("last", "none") else logged)


@pytest.mark.parametrize(
    ("policy", "lost", "asked", "released"),
    [
        ("changed", None, [0, 1], [0, 1, 2]),
        ("changed", "rtn", [0, 1, 2], [0, 1, 2, 3]),
        ("all", None, [], [1, 2, 3]),
        ("last", "rtn", [], [1, 2, 3, 4]),
        ("none", "none", [], [1, 2, 3]),
    ],
)
def test_a_checkpoint_is_held_for_the_next_only_where_changes_are_logged(
    policy: str, lost: str | None, asked: list[int], released: list[int], holding: FakeHolding
) -> None:
    run_all(FakeChain("ft | rtn", policy, lost))
    assert (holding.asked, holding.released) == (asked, released)


def test_every_step_is_logged_with_its_cost_and_the_base_model_without(
    holding: FakeHolding,
) -> None:
    chain = FakeChain("ft | rtn", "all", "rtn")
    chain.unchanged = [2]
    with pytest.warns(UserWarning, match=r"^step 2, rtn\(bits=\d\), changed no weight: what "):
        log = run_all(chain)
    facts = [StepFacts(k != 2, {}, f"weights {k}") for k in range(4)]
    assert log.steps == [
        (0, None, "key 0", "scores 0", None, "measuring 0", None, None),
        (1, "ft", "key 1", "scores 1", "applying 1", "measuring 1", "model 1", facts[1]),
        (2, "rtn", "key 2", "scores 2", "applying 2", "measuring 2", "model 2", facts[2]),
        (3, "rtn", "key 3", "scores 3", "applying 3", "measuring 3", "model 3", facts[3]),
    ]


@pytest.mark.parametrize(
    ("lost", "recompressions"),
    [
        (None, ("none", "key 2")),
        ("none", ("none", "key 2")),
        ("magnitude(sparsity=0.25)", ("magnitude(sparsity=0.25)", "key 3")),
    ],
)
def test_a_run_says_what_was_compressed_again_and_the_last_key(
    lost: str | None, recompressions: tuple[str, str], holding: FakeHolding
) -> None:
    assert run_all(FakeChain("magnitude | ft", "all", lost)).recompressions == [recompressions]


@pytest.mark.parametrize(
    ("applied", "reused", "seconds", "expected"),
    [
        (1, 1, 0.0, (1, False)),
        (1, 1, 0.5, (1, False)),
        (2, 0, 0.5, (0, False)),
        (0, 1, 0.5, (2, False)),
        (0, 0, 0.0, (2, True)),
    ],
)
def test_what_came_from_the_cache_is_all_where_nothing_was_applied_or_measured(
    applied: int, reused: int, seconds: float, expected: tuple[int, bool], holding: FakeHolding
) -> None:
    chain = FakeChain("ft | rtn", "none")
    chain.steps_applied, chain.steps_reused = applied, reused
    chain.seconds["measure"] = seconds
    assert run_all(chain).uses == [expected]


def test_the_bar_counts_the_base_model_and_says_the_stage_once_it_is_shown(
    bar: FakeBar, holding: FakeHolding
) -> None:
    chain = FakeChain("ft | rtn", "none", "rtn")
    run_all(chain)
    assert (bar.options["total"], bar.updates) == (3, 3)
    assert (bar.options["desc"], bar.options["delay"]) == ("ft | rtn", 5.0)
    for seconds in (0.0, 5.0, 5.25):
        bar.format_dict["elapsed"] = seconds
        chain.on_stage(f"after {seconds} s")
    assert bar.shown == [("after 0.0 s", False), ("after 5.0 s", False), ("after 5.25 s", True)]
