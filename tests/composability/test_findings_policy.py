"""Which runs of a policy are made, under which name, and before it is known how long they take."""

from types import SimpleNamespace
from typing import Any

import pytest

from composability import findings
from interventions.errors import InvalidInput

FIRST, LATER = (SimpleNamespace(replicate=number) for number in (0, 1))


@pytest.mark.parametrize(
    ("runs", "unknown", "groups"),
    [
        (0, (), [[FIRST], [FIRST, LATER]]),
        (5, ("ft",), [[FIRST], [FIRST, LATER]]),
        (5, (), [[FIRST, LATER]]),
    ],
)
@pytest.mark.parametrize(
    ("preset", "name"),
    [("paper", "findings-recompress-auto"), ("merging", "merging-recompress-auto")],
)
def test_first_replicates_are_run_before_the_rest_unless_all_times_are_known(
    runs: int,
    unknown: tuple[str, ...],
    groups: list[list[Any]],
    preset: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[list[Any], str]] = []
    estimate = SimpleNamespace(runs=runs, unknown=unknown, seconds=1.0)

    def run_missing(missing: list[Any], sweep: str, experiment: str, resources: object) -> None:
        calls.append((list(missing), sweep))

    monkeypatch.setattr(findings, "missing_runs", lambda planned, finished: [FIRST, LATER])
    monkeypatch.setattr(findings, "finished_with_items", lambda plans, experiment: {})
    monkeypatch.setattr(findings, "_estimate", lambda missing, request: estimate)
    monkeypatch.setattr(findings, "run_missing", run_missing)
    request: Any = SimpleNamespace(experiment="e", resources=None, hours=1.0)
    findings._run_policy(preset, "auto", [], request)
    assert calls == [(group, name) for group in groups]


@pytest.mark.parametrize(("planned", "model"), [(["a"], "a"), (["a", "b"], "a"), ([], "default")])
def test_a_verdict_is_about_the_first_planned_runs_model(
    planned: list[str], model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [
        SimpleNamespace(
            job=SimpleNamespace(plan=SimpleNamespace(settings=SimpleNamespace(model=name)))
        )
        for name in planned
    ]
    monkeypatch.setattr(findings, "judge_parts", lambda parts, values: [])
    monkeypatch.setattr(findings, "values_of", lambda entries, finished: {})
    request: Any = SimpleNamespace(settings=SimpleNamespace(model="default"))
    preset: Any = SimpleNamespace(parts=())
    plans: Any = {"auto": entries}
    assert findings.judge_preset(preset, plans, {}, request).model == model


@pytest.mark.parametrize("replicates", [2, 1001])
def test_batches_that_no_test_can_be_made_of_are_refused_before_the_store_is_asked(
    replicates: int,
) -> None:
    request: Any = SimpleNamespace(replicates=replicates)
    with pytest.raises(InvalidInput, match=f"edit_batches must be from 3 .* got {replicates}"):
        findings.run_command(request, False, "none")
