"""The harnesses, with small counts: whatever they break is handled."""

import random
import threading
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.robustness.tally import Attempts


def test_a_harness_counts_what_it_tried_and_what_was_not_handled() -> None:
    attempts = Attempts("kills", 3, "it ends")
    attempts.note("KILL")
    attempts.note("TERM", "ended with 1")
    assert attempts.row() == "| kills | 3 | 2 | 1 | KILL 1, TERM 1 |"
    assert attempts.report() == 1 and Attempts("kills", 3, "it ends").report() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["kills-grid", "kills-study", "kills-tpe", "kills-nsga2", "clocks"]
)
def test_sweeps_that_are_hit_end_as_if_untouched(name: str, tmp_path: Path) -> None:
    from tests.robustness.__main__ import HARNESSES

    assert HARNESSES[name][0](6, 1, tmp_path).unhandled == []


@pytest.mark.slow
def test_two_at_one_instant_do_nothing_twice(tmp_path: Path) -> None:
    from tests.robustness.races import races

    assert races(8, 1, tmp_path).unhandled == []


@pytest.mark.slow
def test_a_process_below_a_killed_launcher_ends_its_run_killed(tmp_path: Path) -> None:
    from tests.robustness.launchers import launchers

    assert launchers(2, 1, tmp_path).unhandled == []


@pytest.mark.slow
def test_every_kind_of_damage_is_noticed(tmp_path: Path) -> None:
    from tests.robustness.damage import damage

    assert damage(24, 1, tmp_path).unhandled == []


@pytest.mark.slow
def test_every_fault_of_a_store_is_waited_out_or_said(tmp_path: Path) -> None:
    from tests.robustness.faults import FAULTS, faults

    assert faults(len(FAULTS), 1, tmp_path).unhandled == []


@pytest.mark.slow
def test_a_proxy_has_the_faults_that_it_is_given(tmp_path: Path) -> None:
    from http.server import HTTPServer, SimpleHTTPRequestHandler

    from tests.robustness.faults import proxy

    behind = HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    threading.Thread(target=behind.serve_forever, daemon=True).start()
    with proxy(behind.server_address[1]) as running:
        address = f"http://127.0.0.1:{running.server_address[1]}/missing"
        for fault, status in (("", 404), ("500", 500), ("502 after it was done", 502)):
            running.fault = fault
            with pytest.raises(HTTPError) as raised:
                urlopen(address)
            assert raised.value.code == status
            raised.value.close()
        running.fault = "HTML"
        with urlopen(address) as answer:
            assert answer.read().startswith(b"<html>")
        running.fault = "away"
        with pytest.raises(OSError):
            urlopen(address)
    behind.shutdown()
    behind.server_close()


@pytest.mark.slow
def test_damage_is_damage(tmp_path: Path) -> None:
    from tests.robustness.damage import KINDS

    for kind in KINDS:
        folder = tmp_path / kind.__name__ / "key"
        folder.mkdir(parents=True)
        (folder / "a.json").write_text("first")
        (folder / "b.json").write_text("second")
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        kind(folder / "a.json", random.Random(0))
        names = {path.name for path in folder.iterdir()}
        is_link = (folder / "a.json").is_symlink()
        assert is_link or {path.name: path.read_bytes() for path in folder.iterdir()} != before
        assert names >= {"b.json"}
