"""The work that each command hands its options to, which is stood in for here."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from composability.command import main
from composability.commands import compare
from sweeps.failures import Incomplete
from tests.composability.conftest import Calls
from tracking.settings import Settings

Printed = pytest.CaptureFixture[str]


def test_findings_are_asked_for_with_every_option(
    calls: Calls, stand_in: Callable[..., None]
) -> None:
    stand_in("composability.findings.run_command")
    stand_in("analysis.report.hypotheses.presets.all.presets_named", ("relearning",))
    assert main(["findings", "--preset", "relearning", "--edit-batches", "7", "--run"]) == 0
    (named, (name, request, is_run, output)) = calls
    assert named == ("presets_named", "relearning", None)
    assert (name, is_run, output) == ("run_command", True, "none")
    assert (request.presets, request.replicates, request.hours) == (("relearning",), 7, 3.0)
    assert request.settings == Settings(checkpoints="none")
    assert (request.experiment, request.resources.address) == ("composability", "")


def test_findings_are_asked_for_at_the_levels_that_are_named(
    calls: Calls, stand_in: Callable[..., None]
) -> None:
    stand_in("composability.findings.run_command")
    stand_in("analysis.report.hypotheses.presets.all.presets_named", ())
    assert main(["findings", "--levels", "sparsity=0.5,0.75;bits=8,2"]) == 0
    (_, preset, levels) = calls[0]
    assert (preset, levels.sparsity, levels.bits) == ("paper", (0.5, 0.75), (8, 2))
    assert calls[1][2:] == (False, "none")


NO_SETTINGS = {"trust_remote_code": False, "allow_pickle": False}


@pytest.mark.parametrize(
    ("options", "step", "alias"),
    [("", None, ""), ("--step 2 --alias champion", 2, "champion"), ("--step 1", 1, "")],
)
def test_a_checkpoint_is_registered_by_its_step_and_alias(
    options: str,
    step: int | None,
    alias: str,
    calls: Calls,
    stand_in: Callable[..., None],
    capsys: Printed,
) -> None:
    stand_in("tracking.registration.register", "version 1")
    assert main(["register", "r7", "--name", "mine", *options.split()]) == 0
    assert calls == [("register", "r7", "mine", step, alias, {"export": "none", **NO_SETTINGS})]
    assert capsys.readouterr().out == "version 1\n"


def test_a_checkpoint_is_restored_into_a_folder_that_is_printed(
    calls: Calls, stand_in: Callable[..., None], capsys: Printed
) -> None:
    stand_in("tracking.checkpoints.restore.load_checkpoint", "/a/folder")
    assert main(["restore", "r7", "2", "folder", "--allow-pickle"]) == 0
    options = {**NO_SETTINGS, "allow_pickle": True}
    assert calls == [("load_checkpoint", "r7", 2, "folder", options)]
    assert capsys.readouterr().out == "/a/folder\n"


@pytest.mark.parametrize("words", [["rmu"], ["--intervention", "rmu"]])
def test_a_study_is_run_of_the_composition_in_either_way(
    words: list[str], calls: Calls, stand_in: Callable[..., None]
) -> None:
    stand_in("sweeps.study.command.run_command")
    assert main(["tune", *words, "--dry-run", "--seed", "3"]) == 0
    (store_call, (name, options, dry_run)) = calls
    assert store_call == ("check_reachable",) and (name, dry_run) == ("run_command", True)
    assert (options["intervention"], options["seed"]) == ("rmu", 3)
    assert "split" not in options and options["checkpoints"] == "none"


def test_a_study_is_not_given_its_composition_in_both_ways(capsys: Printed) -> None:
    assert main(["tune", "rmu", "--intervention", "ga"]) == 2
    assert capsys.readouterr().err == (
        "error: give a COMPOSITION or --intervention, not both (see composability tune --help)\n"
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], [("print_ranking", "composability", "mine")]),
        (["--dry-run"], [("reject_launched_run", "mine", "dry run")]),
    ],
)
def test_a_grids_ranking_is_printed_unless_nothing_was_run(
    options: list[str], expected: Calls, calls: Calls, stand_in: Callable[..., None]
) -> None:
    stand_in("sweeps.grid.command.run_command", "mine")
    stand_in("composability.grid_text.print_ranking")
    stand_in("tracking.lifecycle.reject_launched_run")
    assert main(["grid", "--interventions", "ft", *options]) == 0
    (store_call, (name, request, dry_run), *rest) = calls
    assert store_call == ("check_reachable",) and name == "run_command"
    assert (request.interventions, dry_run) == ("ft", bool(options))
    assert rest == expected


def test_of_a_grid_that_failed_in_part_the_ranking_of_the_rest_is_printed(
    calls: Calls, stand_in: Callable[..., None], capsys: Printed
) -> None:
    stand_in("sweeps.grid.command.run_command", Incomplete("1 of 2 failed"))
    stand_in("sweeps.grid.spec.GridRequest.checked", SimpleNamespace(name="mine"))
    stand_in("composability.grid_text.print_ranking")
    assert main(["grid", "--interventions", "ft"]) == 1
    assert calls[-1] == ("print_ranking", "composability", "mine", "of what did not fail:")
    assert "1 of 2 failed" in capsys.readouterr().err


def test_a_grid_of_a_finding_is_run_with_its_verdict(
    calls: Calls, stand_in: Callable[..., None]
) -> None:
    stand_in("composability.grid_findings.run_preset")
    assert main(["grid", "--preset", "relearning", "--dry-run"]) == 0
    (_, (name, options, dry_run)) = calls
    assert (name, options["preset"], dry_run) == ("run_preset", "relearning", True)


@pytest.mark.parametrize(
    ("words", "work", "answer", "call", "text"),
    [
        (["list", "interventions", "a", "b"], "interventions", "A", (("a", "b"),), "A\n"),
        (["list", "criteria"], "criteria", "C", ((),), "C\n"),
    ],
)
def test_a_listing_is_that_of_the_names(
    words: list[str],
    work: str,
    answer: str,
    call: tuple[Any, ...],
    text: str,
    calls: Calls,
    stand_in: Callable[..., None],
    capsys: Printed,
) -> None:
    stand_in(f"interventions.listing.list_{work}", answer)
    assert main(words) == 0
    assert calls == [(f"list_{work}", *call)] and capsys.readouterr().out == text


def test_every_preset_is_listed_in_a_line(monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    monkeypatch.setattr("sweeps.grid.presets.PRESETS", {"quick": "ft; ga"})
    monkeypatch.setattr(
        "analysis.report.hypotheses.presets.names.TITLES", {"relearning": "What is learnt again"}
    )
    assert main(["list", "presets"]) == 0
    assert capsys.readouterr().out == (
        "quick: ft; ga\nrelearning: tests the finding: What is learnt again\n"
    )


def test_the_papers_rows_are_imported(calls: Calls, stand_in: Callable[..., None]) -> None:
    stand_in("tracking.published.import_rows")
    assert main(["published"]) == 0
    assert calls == [("import_rows",)]


@pytest.mark.parametrize(("words", "most"), [([], 20), (["--all"], None)])
def test_the_last_twenty_checkpoints_are_listed_or_all(
    words: list[str],
    most: int | None,
    calls: Calls,
    stand_in: Callable[..., None],
    capsys: Printed,
) -> None:
    stand_in("tracking.checkpoints.contents.contents", "contents")
    stand_in("composability.cache_text.contents_text", "text")
    assert main(["cache", "list", *words]) == 0
    assert calls == [("contents",), ("contents_text", "contents", most)]
    assert capsys.readouterr().out == "text\n"


@pytest.mark.parametrize(("words", "gib"), [([], 10.0), (["--gib", "0"], 0.0)])
def test_a_cache_is_pruned_to_the_size_that_is_named_or_its_own(
    words: list[str],
    gib: float,
    calls: Calls,
    stand_in: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Printed,
) -> None:
    monkeypatch.delenv("COMPOSABILITY_CACHE_GIB", raising=False)
    stand_in("tracking.checkpoints.contents.prune_cache", (1, 2))
    stand_in("composability.cache_text.pruned_text", "pruned")
    assert main(["cache", "prune", *words]) == 0
    assert calls == [("prune_cache", gib), ("pruned_text", 1, 2)]
    assert capsys.readouterr().out == "pruned\n"


def test_the_stores_address_is_printed_before_anything_is_set_up(
    stand_in: Callable[..., None], capsys: Printed
) -> None:
    stand_in("tracking.store.shown_address", "sqlite:///a.db")
    assert main(["setup", "--store", "--ui", "5001"]) == 0
    assert capsys.readouterr().out == "sqlite:///a.db\n"


def test_the_ui_is_served_at_a_port_only(capsys: Printed) -> None:
    assert main(["setup", "--serve"]) == 2
    assert capsys.readouterr().err == (
        "error: --serve needs --ui PORT (see composability setup --help)\n"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a + b"], ("compare_pair", "a + b", "composability", "http://ui")),
        (["r1", "r2"], ("compare_runs", "r1", "r2", "http://ui")),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_pair_or_two_runs_are_compared_with_links_to_the_ui(
    words: list[str],
    as_json: bool,
    expected: tuple[str, ...],
    calls: Calls,
    stand_in: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Printed,
) -> None:
    comparison = SimpleNamespace(as_json=lambda: {"pair": "a"})
    for name in ("compare_pair", "compare_runs"):
        stand_in(f"analysis.comparison.{name}", comparison)
    monkeypatch.setattr(compare, "with_saved_views", lambda whole, ui: whole)
    monkeypatch.setattr(
        "composability.comparison_text.comparison_text", lambda whole, hint: f"as text {hint}"
    )
    monkeypatch.setattr("tracking.links.start_hint", lambda ui: f"start {ui}")
    assert main(["compare", *words, "--ui", "http://ui/", *(["--json"] if as_json else [])]) == 0
    assert calls == [expected]
    text = '{\n  "pair": "a"\n}\n' if as_json else "as text start http://ui\n"
    assert capsys.readouterr().out == text


def test_three_words_are_no_pair(capsys: Printed) -> None:
    assert main(["compare", "lora", "+", "wanda"]) == 2
    assert capsys.readouterr().err == (
        'error: name one pair, in quotes: "lora + wanda"; or two runs by their ids'
        " (see composability compare --help)\n"
    )
