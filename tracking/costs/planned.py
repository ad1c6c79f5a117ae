"""What a run is planned to take, step by step, as a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tracking.costs.room import GIB
from tracking.text_table import text_table

_HEADERS = ("step", "device GiB", "host GiB", "seconds", "disk GiB")
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class PlannedStep:
    """What one step is planned to take, and measuring the model after it.

    Attributes:
        name: the step's spec; "base model" for what is before the first.
        device_bytes: peak memory on the device, the model's weights included; None if not known.
        host_bytes: peak memory of the process on the host; None if not known.
        seconds: to apply it, measure and store; None if not known.
        disk_bytes: of its checkpoint, cached and logged, at most.
        reason: why something is not known.
        alone_bytes: peak memory on the device while the step itself is applied, or, before the
            first step, while the model is measured; None if not known.
    """

    name: str
    device_bytes: int | None
    host_bytes: int | None
    seconds: float | None
    disk_bytes: int
    reason: str = ""
    alone_bytes: int | None = None


@dataclass(frozen=True)
class RunPlan:
    """What a run is planned to take; printed, it is a table.

    Attributes:
        composition: what is to be applied.
        model: what it is applied to.
        device: where.
        dtype: of the weights.
        steps: the base model's measurement, and each step.
        speed: the device whose speed the seconds are of.
        warnings: what will not fit, and what would make it fit.

    Example:
        >>> step = PlannedStep("base model", 2 * GIB, 3 * GIB, 60.0, 0)
        >>> print(RunPlan("none", "gpt2", "cpu", "float32", (step,), "a CPU").table())
        step        device GiB  host GiB  seconds  disk GiB
        base model         2.0       3.0       60         0
        total              2.0       3.0       60         0
    """

    composition: str
    model: str
    device: str
    dtype: str
    steps: tuple[PlannedStep, ...]
    speed: str
    warnings: tuple[str, ...] = ()

    @property
    def device_bytes(self) -> int:
        """The peak on the device, of the steps that are known."""
        return max(step.device_bytes or 0 for step in self.steps)

    @property
    def host_bytes(self) -> int:
        """The peak on the host, of the steps that are known."""
        return max(step.host_bytes or 0 for step in self.steps)

    @property
    def seconds(self) -> float:
        """The time of all steps that are known."""
        return sum(step.seconds or 0.0 for step in self.steps)

    @property
    def disk_bytes(self) -> int:
        """The space of all checkpoints, at most."""
        return sum(step.disk_bytes for step in self.steps)

    def table(self) -> str:
        """Return a row a step, and the total of what is known."""
        total = "total of what is known" if any(step.reason for step in self.steps) else "total"
        rows = [
            _HEADERS,
            *(
                _row(s.name, s.device_bytes, s.host_bytes, s.seconds, s.disk_bytes)
                for s in self.steps
            ),
            _row(total, self.device_bytes, self.host_bytes, self.seconds, self.disk_bytes),
        ]
        return text_table(rows)

    def __str__(self) -> str:
        unknown = [f"{step.name}: {step.reason}" for step in self.steps if step.reason]
        lines = [
            f"{self.composition} on {self.model} ({self.dtype}, {self.device})",
            "",
            self.table(),
            "",
            "These are estimates. Memory is counted on a model without weights, and comes within"
            " 20 % of the tensors that are alive at the peak; an allocator may hold more.",
            f"Seconds are those of {self.speed}, by arithmetic and bytes, and may be off threefold."
            " What is in the cache already takes none.",
            *_said("not known:", unknown),
            *_said("warning:", self.warnings),
        ]
        return "\n".join(lines)


def _said(word: str, texts: Iterable[str]) -> list[str]:
    return [f"{word} {text}" for text in texts]


def _row(
    name: str, device: int | None, host: int | None, seconds: float | None, disk: int
) -> tuple[str, ...]:
    shown_seconds = _UNKNOWN if seconds is None else f"{max(1, round(seconds)):,}"
    return name, gib(device), gib(host), shown_seconds, gib(disk)


def gib(size: int | None) -> str:
    """Return bytes in GiB, with two digits at least.

    Example:
        >>> gib(15 * GIB), gib(GIB // 64), gib(None)
        ('15.0', '0.016', 'unknown')
    """
    if not size:
        return _UNKNOWN if size is None else "0"
    gib = size / GIB
    return f"{gib:.1f}" if gib >= 1 else f"{gib:.3f}"
