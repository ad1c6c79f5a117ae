"""What does not fit is said with its size, and with the settings that were rehearsed to fit."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from interventions.base import make
from interventions.rehearsal.meta import Takes
from interventions.rehearsal.steps import Unknown
from tracking.costs.estimate import Estimator
from tracking.costs.fitting import warnings_of
from tracking.costs.planned import PlannedStep
from tracking.costs.room import GIB, Room
from tracking.plan import Plan

ROOMY = Room(device=100 * GIB, host=100 * GIB, disk=100 * GIB, cache=100 * GIB)
GA = {"samples": 8, "batch": 4, "last_layers": 3, "max_tokens": 40}

# of a dtype and a step's spec, "measuring" for the criteria
Rehearsal = Callable[[str, str], Takes | Unknown]


def size_of(peak_bytes: int) -> Takes:
    return Takes(peak_bytes, 0, 0.0)


def nothing_is_known(dtype: str, step: str) -> Unknown:
    return Unknown("not tried")


def warned(
    steps: list[PlannedStep],
    room: Room,
    rehearsal: Rehearsal = nothing_is_known,
    *,
    checkpoint_bytes: int = 0,
    **settings: str,
) -> list[str]:
    """Return what is warned of a run of "ga | rtn", whose rehearsals take what is said."""

    def stage(dtype: str) -> Any:
        return SimpleNamespace(
            criteria=lambda criteria, data: rehearsal(dtype, f"{criteria} on {data}"),
            step=lambda step, data: rehearsal(dtype, f"{step.spec()} on {data}"),
        )

    plan = SimpleNamespace(
        composition=[make("ga", **GA), make("rtn")],
        settings=SimpleNamespace(
            **{"device": "cuda", "dtype": "float32", "checkpoints": "all", **settings},
            profile="testbed",
        ),
        checkpoint_bytes=checkpoint_bytes,
        criteria="criteria",
        measured_data="questions",
        data=SimpleNamespace(seen_by=lambda name: f"what {name} sees"),
    )
    estimator = cast(Estimator, SimpleNamespace(stage=stage))
    return list(warnings_of(estimator, cast(Plan, plan), steps, room))


def step_of(name: str, alone_bytes: int | None = None, host_bytes: int | None = None) -> Any:
    return PlannedStep(name, alone_bytes, host_bytes, 1.0, 0, alone_bytes=alone_bytes)


def room_of(**sizes: int | None) -> Room:
    return Room(**{**vars(ROOMY), **sizes})


def test_all_that_is_rehearsed_to_fit_is_named() -> None:
    """Three layers are not halved; what takes all there is fits, and a byte more does not."""
    rehearsed: list[tuple[str, str]] = []

    def rehearsal(dtype: str, step: str) -> Takes:
        rehearsed.append((dtype, step))
        return size_of(10 * GIB + ("max_tokens=20" in step))

    steps = [step_of("base model"), step_of("ga", 12 * GIB)]
    (warning,) = warned(steps, room_of(device=10 * GIB, host=12 * GIB), rehearsal)
    plain, fewer_tokens, fewer_samples, smaller_batch, narrow = (
        make("ga", **{**GA, **changed}).spec()
        for changed in (
            *({}, {"max_tokens": 20}, {"samples": 4}, {"batch": 2}, {"master_weights": False}),
        )
    )
    assert warning == (
        "ga itself needs about 12.0 GiB on the device, which has 10.0 GiB; it fits with"
        f" dtype=bfloat16 or {narrow} or {fewer_samples} or {smaller_batch} or device=cpu"
    )
    in_full = (narrow, fewer_tokens, fewer_samples, smaller_batch)
    assert rehearsed == [
        ("bfloat16", f"{plain} on what ga sees"),
        *(("float32", f"{step} on what ga sees") for step in in_full),
    ]


def test_before_the_first_step_the_criteria_are_rehearsed() -> None:
    def rehearsal(dtype: str, step: str) -> Takes:
        assert (dtype, step) == ("bfloat16", "criteria on questions")
        return size_of(6 * GIB)

    steps = [step_of("base model", 12 * GIB)]
    (warning,) = warned(steps, room_of(device=6 * GIB, host=12 * GIB - 1), rehearsal)
    assert warning == (
        "measuring the base model needs about 12.0 GiB on the device, which has 6.0 GiB;"
        " it fits with dtype=bfloat16"
    )


def test_what_could_not_be_rehearsed_does_not_fit() -> None:
    steps = [step_of("base model"), step_of("ga", 12 * GIB)]
    (warning,) = warned(steps, room_of(device=GIB), device="cpu", dtype="bfloat16")
    assert warning.endswith("which has 1.0 GiB; nothing smaller is known")


def test_what_is_applied_again_is_not_warned_of_twice() -> None:
    steps = [step_of(name, 12 * GIB) for name in ("base model", "ga", "rtn", "rtn again")]
    assert len(warned(steps, room_of(device=GIB))) == 3


def test_a_step_with_nothing_to_take_less_of_is_tried_in_half_precision_alone() -> None:
    rehearsed: list[tuple[str, str]] = []

    def rehearsal(dtype: str, step: str) -> Takes:
        rehearsed.append((dtype, step))
        return size_of(GIB)

    steps = [step_of("base model"), step_of("ga"), step_of("rtn", 12 * GIB)]
    (warning,) = warned(steps, room_of(device=GIB), rehearsal)
    assert warning.endswith("; it fits with dtype=bfloat16 or device=cpu")
    assert rehearsed == [("bfloat16", "rtn(bits=3) on what rtn sees")]


def test_what_is_not_known_is_warned_of_nowhere() -> None:
    assert warned([step_of("base model"), step_of("ga")], room_of(device=0, host=0)) == []


def test_what_takes_all_there_is_fits() -> None:
    steps = [step_of("base model", 2 * GIB, 3 * GIB), step_of("ga")]
    assert warned(steps, room_of(device=2 * GIB, host=3 * GIB)) == []
    (host,) = warned(steps, room_of(host=3 * GIB - 1))
    assert host == (
        "base model needs about 3.0 GiB of memory on the host, of which 3.0 GiB are free"
    )
    assert warned(steps, room_of(host=0), device="cpu") == []
    assert warned(steps, room_of(device=None)) == []


@pytest.mark.parametrize(
    ("cache", "disk"),
    [
        # three checkpoints of 2 GiB, cached and logged: what the cache drops is taken off
        (3, 9),
        (6, 12),
        (7, 12),
        (2, 8),
    ],
)
def test_the_disk_holds_what_is_logged_and_the_cache(cache: int, disk: int) -> None:
    steps = [
        PlannedStep("base model", None, None, None, 0),
        *(PlannedStep(name, None, None, None, 4 * GIB) for name in "abc"),
    ]
    sizes = {"cache": cache * GIB, "disk": disk * GIB}
    assert warned(steps, room_of(**sizes), checkpoint_bytes=2 * GIB) == []
    sizes["disk"] -= GIB
    said = f"checkpoints need up to {disk}.0 GiB of disk, of which {disk - 1}.0 GiB are free"
    fewer = "; fewer are logged with checkpoints=last or checkpoints=none"
    assert warned(steps, room_of(**sizes), checkpoint_bytes=2 * GIB) == [said + fewer]
    assert warned(steps, room_of(**sizes), checkpoint_bytes=2 * GIB, checkpoints="none") == [said]
    sizes["disk"] = disk * GIB - 1
    assert len(warned(steps, room_of(**sizes), checkpoint_bytes=2 * GIB)) == 1


def test_a_cache_smaller_than_a_checkpoint_is_said_with_the_size_that_holds_all() -> None:
    """Three of 2.5 GiB are 7.5: the limit is a whole number. A checkpoint counts at least once."""
    steps = [step_of(name) for name in "abc"]
    checkpoint_bytes = 5 * GIB // 2
    (warning,) = warned(steps, room_of(cache=2 * GIB), checkpoint_bytes=checkpoint_bytes)
    assert warning == (
        "a checkpoint has 2.5 GiB, and the cache is held under 2.0 GiB, so that each is computed"
        " again where another run goes on from it; set COMPOSABILITY_CACHE_GIB to 8 or more"
    )
    tight = room_of(cache=checkpoint_bytes)
    assert warned(steps, tight, checkpoint_bytes=checkpoint_bytes) == []
    assert warned(steps[:1], room_of(cache=GIB), checkpoint_bytes=checkpoint_bytes) == []
    assert len(warned(steps[:2], room_of(cache=GIB), checkpoint_bytes=checkpoint_bytes)) == 1
