"""A rehearsal counts what is there, says nothing by itself, and ends."""

import warnings

import pytest
import torch
from tqdm import tqdm

from interventions.rehearsal.meta import TooLong, _Counter, rehearse
from interventions.rehearsal.speed import H100, speed_of

FLOAT = 4  # bytes


def test_on_a_cpu_what_is_moved_there_stays_in_memory_and_comes_back_as_it_is() -> None:
    size = FLOAT * 1000**2

    def moved() -> None:
        moments = [torch.ones(1000, 1000, device="meta").neg().cpu() for _ in range(3)]
        for moment in moments:
            moment.to("meta").sum()

    peaks = {
        device: rehearse(moved, [], speed_of(device))[1].peak_bytes for device in ("cpu", "cuda")
    }
    # on the CPU three, and of the third what it is computed from
    assert peaks["cpu"] == pytest.approx(4 * size, rel=0.01)
    assert peaks["cuda"] == pytest.approx(2 * size, rel=0.01)


def test_what_is_there_counts_from_the_beginning() -> None:
    weight = torch.zeros(10, 10, device="meta")
    layer = torch.nn.Linear(10, 10, device="meta")
    _, takes = rehearse(lambda: layer(weight).sum(), [weight, layer], H100, more_bytes=1000)
    there = 1000 + (100 + 110) * FLOAT
    # the layer's output, and its sum
    assert (takes.peak_bytes, takes.kept_bytes) == (there + 101 * FLOAT, there + FLOAT)
    assert takes.seconds > 0


def test_only_the_meta_device_counts() -> None:
    _, takes = rehearse(lambda: torch.zeros(1000) + 1, [], H100)
    assert (takes.peak_bytes, takes.seconds) == (0, 0)


def test_neither_bars_nor_warnings_are_seen(capsys: pytest.CaptureFixture[str]) -> None:
    def loud() -> bool:
        warnings.warn("of a real run", stacklevel=1)
        return bool(tqdm(range(3), disable=None, delay=0).disable)

    is_silent, _ = rehearse(lambda: bool(tqdm(range(3)).disable), [], H100)
    assert is_silent
    rehearse(loud, [], H100)
    assert not capsys.readouterr().err
    assert not tqdm(range(3), disable=False).disable


def test_what_goes_on_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interventions.rehearsal.meta._MOST_OPERATORS", 10)

    def work(count: int) -> None:
        for _ in range(count):
            torch.zeros(1, device="meta")

    rehearse(lambda: work(10), [], H100)
    with pytest.raises(TooLong):
        rehearse(lambda: work(11), [], H100)


def test_an_error_is_raised_as_it_is_and_leaves_nothing_behind() -> None:
    def fail() -> None:
        raise ValueError("as it is")

    with pytest.raises(ValueError, match="as it is"):
        rehearse(fail, [], H100)
    assert torch.zeros(3).tolist() == [0, 0, 0]
    assert torch.zeros(1, device="meta").is_meta


def test_what_is_written_to_a_tensor_from_before_takes_nothing() -> None:
    inputs, target = torch.zeros(10, 10, device="meta"), torch.zeros(10, 10, device="meta")
    _, takes = rehearse(lambda: torch.add(inputs, inputs, out=target), [], H100)
    assert (takes.peak_bytes, takes.kept_bytes) == (0, 0) and takes.seconds > 0


@pytest.mark.parametrize(
    ("kept", "peak_before", "expected"),
    [
        (30, 120, (1 + 2 + 7.0, 130 + 4 * 30, 150 + 4 * 30)),
        (30, 900, (1 + 2 + 7.0, 130 + 4 * 30, 900)),
        (-10, 120, (1 + 2 + 7.0, 90, 150)),
    ],
)
def test_passes_that_are_not_run_take_and_leave_behind_as_much_as_those_that_are(
    kept: int, peak_before: int, expected: tuple[float, int, int]
) -> None:
    """A pass from 100 bytes and 1 second takes 2 seconds and 150 bytes; 4 are left out."""
    counter = _Counter(H100)
    memory = counter.memory
    counter.seconds, memory.current_bytes, memory.peak_bytes = 1.0, 100, peak_before
    counter.begin_pass()
    assert memory.peak_bytes == 100
    counter.seconds, memory.current_bytes, memory.peak_bytes = 3.0, 100 + kept, 150
    counter.end_pass(times=3.5, passes=4)
    assert (counter.seconds, memory.current_bytes, memory.peak_bytes) == expected
