"""Whose process a run is, and whether it lives."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from tracking import processes, schema
from tracking.processes import (
    SILENT_SECONDS,
    _state_and_ticks,
    is_here,
    is_own_run,
    is_process_gone,
    is_run_dead,
    process_tags,
)


def run_with(tags: Mapping[str, str], age_seconds: float = 0.0) -> Any:
    """A run that began some time ago."""
    began = (time.time() - age_seconds) * 1000
    info = SimpleNamespace(start_time=began)
    return SimpleNamespace(data=SimpleNamespace(tags=dict(tags)), info=info)


def test_this_process_lives_and_owns_its_runs() -> None:
    tags = process_tags()
    assert tags[schema.PID] == str(os.getpid())
    assert not is_process_gone(tags)
    assert is_own_run(run_with(tags)) and not is_run_dead(run_with(tags))
    assert not is_own_run(run_with({**tags, schema.PID: "1"}))
    assert not is_own_run(run_with({**tags, schema.HOST: "another"}))
    assert not is_own_run(run_with({}))


def test_a_process_that_ended_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    tags = {**process_tags(), schema.PID: str(process.pid)}
    assert is_process_gone(tags) and is_run_dead(run_with(tags))
    del tags[schema.PROCESS]  # as a run of before 0.2 says it
    assert is_process_gone(tags)
    assert _state_and_ticks(process.pid) == ("X", 0)


def moved(tags: dict[str, str], place: int, value: str) -> dict[str, str]:
    """Return tags with another boot (0), namespace (1), or start (2)."""
    parts = tags[schema.PROCESS].split()
    parts[place] = value
    return {**tags, schema.PROCESS: " ".join(parts)}


def test_the_start_is_counted_from_the_boot_so_that_a_clock_that_is_set_says_nothing() -> None:
    tags = process_tags()
    hour_later = {**tags, schema.PROCESS_STARTED: str(float(tags[schema.PROCESS_STARTED]) + 3600)}
    assert not is_process_gone(hour_later) and is_own_run(run_with(hour_later))
    ticks = int(tags[schema.PROCESS].split()[2])
    assert ticks > 0
    assert is_process_gone(moved(tags, 2, str(ticks - 1)))


@pytest.mark.parametrize("place", [0, 1])
def test_a_process_of_another_boot_or_namespace_is_not_looked_for_among_those_here(
    place: int,
) -> None:
    """Two containers of one host name: number 1 of the one is not number 1 of the other."""
    tags = moved({**process_tags(), schema.PID: "999999"}, place, "another")
    assert not is_here(tags) and is_here(process_tags())
    assert not is_process_gone(tags)
    assert is_process_gone({**tags, schema.HEARTBEAT: str(time.time() - SILENT_SECONDS - 5)})
    assert not is_own_run(run_with(moved(process_tags(), place, "another")))


def test_a_zombie_lives_no_more() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    tags = process_tags() | {schema.PID: str(process.pid)}
    _, ticks = _state_and_ticks(process.pid)
    tags, before = moved(tags, 2, str(ticks)), tags
    before.pop(schema.PROCESS)  # as a run of before 0.2 says it
    before[schema.PROCESS_STARTED] = str(psutil.Process(process.pid).create_time())
    assert not is_process_gone(tags) and not is_process_gone(before)
    process.kill()
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert is_process_gone(tags) and is_process_gone(before)
    process.communicate()


def test_a_number_that_another_process_has_now_is_gone() -> None:
    tags = process_tags()
    del tags[schema.PROCESS]  # as a run of before 0.2 says it
    started = float(tags[schema.PROCESS_STARTED])
    assert is_process_gone({**tags, schema.PROCESS_STARTED: str(started - 2)})
    assert not is_process_gone({**tags, schema.PROCESS_STARTED: str(started - 0.5)})


def test_a_process_on_another_host_is_gone_after_more_than_ten_minutes_of_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tags = {**process_tags(), schema.HOST: "another", schema.PID: "1", schema.HEARTBEAT: "1000.0"}
    for now, expected in ((1600.0, False), (1600.5, True)):
        monkeypatch.setattr(processes, "time", SimpleNamespace(time=lambda now=now: now))
        assert is_process_gone(tags) is expected
        adopted_by_nobody = run_with({schema.SWEEP_ROOT: "mine"})
        adopted_by_nobody.info.start_time = 1_000_000
        assert is_run_dead(adopted_by_nobody) is expected


def test_a_process_without_a_known_place_or_start_has_no_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a system that has neither; its runs are told by number, host and time of start."""
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    assert process_tags()[schema.PROCESS] == ""
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("boot\n")
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to("pid:[1]")
    assert process_tags()[schema.PROCESS] == ""
    (tmp_path / str(os.getpid())).mkdir()
    fields = ["S", *(str(number) for number in range(4, 53))]
    stat = f"{os.getpid()} (a (b) c) {' '.join(fields)}"
    (tmp_path / str(os.getpid()) / "stat").write_text(stat)
    assert process_tags()[schema.PROCESS] == "boot pid:[1] 22"


@pytest.mark.parametrize(
    "tags",
    [
        {schema.PID: "x", schema.HOST: socket.gethostname(), schema.PROCESS_STARTED: "1"},
        {schema.PID: "-1", schema.HOST: socket.gethostname(), schema.PROCESS_STARTED: "1"},
        {schema.PID: "1", schema.HOST: socket.gethostname(), schema.PROCESS_STARTED: "soon"},
        {schema.PID: "1", schema.HOST: "another"},
        {schema.PID: "1", schema.HEARTBEAT: "now"},
    ],
)
def test_somebody_elses_tags_do_no_harm(tags: dict[str, str]) -> None:
    assert not is_process_gone(tags) and not is_run_dead(run_with(tags))


def test_a_run_that_nobody_has_adopted_is_given_time() -> None:
    for tags in ({"mlflow.project.entryPoint": "main"}, {schema.SWEEP_ROOT: "mine"}):
        assert not is_run_dead(run_with(tags, age_seconds=SILENT_SECONDS - 60))
        assert is_run_dead(run_with(tags, age_seconds=SILENT_SECONDS + 5))


def as_before(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags under the names that they had until 0.2."""
    return {name.replace(schema.MACHINE, "composability."): text for name, text in tags.items()}


def test_a_run_that_an_earlier_version_made_is_told_by_its_tags() -> None:
    tags = as_before(process_tags())
    assert sorted(tags) == [
        f"composability.{name}"
        for name in ("heartbeat", "host", "pid", "process", "process_started")
    ]
    assert is_own_run(run_with(tags)) and is_here(tags)
    assert not is_process_gone(tags) and not is_run_dead(run_with(tags))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone = tags | {"composability.pid": str(ended.pid)}
    assert is_process_gone(gone) and is_run_dead(run_with(gone))
    # this version has taken the run over
    assert is_own_run(run_with(gone | process_tags()))


def test_what_only_programs_read_has_a_prefix_of_its_own() -> None:
    names = [*process_tags(), schema.ABOUT_CRITERIA, schema.ABOUT_INTERVENTIONS]
    assert all(name.startswith(schema.MACHINE) for name in names)
    for name in (schema.WEIGHTS, schema.LEAKAGE, schema.SWEEP, schema.RECOMPRESSED):
        assert not name.startswith(schema.MACHINE)
