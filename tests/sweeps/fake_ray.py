"""A stand-in for Ray: tasks run in this process when their result is asked for."""

import pickle
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest


class RayError(Exception):
    """As Ray's: with the error of the task, or without one if the worker died."""

    def __init__(self, message: str, cause: Exception | None = None) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True)
class Affinity:
    """As Ray's: the node that a task must run on, or only should if it is soft."""

    node_id: str
    soft: bool


def node(name: str, is_alive: bool = True, **resources: float) -> dict[str, Any]:
    """Return a node as Ray lists it: ``node("1", CPU=4.0)``."""
    return {
        "Alive": is_alive,
        "NodeID": name,
        "NodeManagerAddress": f"10.0.0.{name}",
        "Resources": resources,
    }


class FakeRay:
    """The part of Ray's module that sweeps use; of the running tasks, the newest ends first.

    Attributes:
        events: "init", "wait", "cancel" and "shutdown", in the order in which they were called.
        init_options: what Ray was started with.
        task_options: function name -> the options that its tasks were last given.
        submitted: function name -> how many tasks were submitted.
        arguments: function name -> what its last task was given.
        most_running: how many tasks were ever submitted and not collected.
        failing: function name -> the error that its tasks end with.
        idle_waits: how many more times no task ends while it is waited for.
        timeouts: seconds that were waited for at most, in order.
        cancelled: references of tasks that were cancelled.
    """

    exceptions = SimpleNamespace(RayError=RayError)
    util = SimpleNamespace(
        scheduling_strategies=SimpleNamespace(NodeAffinitySchedulingStrategy=Affinity)
    )

    def __init__(self, *nodes: dict[str, Any]) -> None:
        self.events: list[str] = []
        self.init_options: dict[str, Any] = {}
        self.task_options: dict[str, dict[str, Any]] = {}
        self.submitted: Counter[str] = Counter()
        self.arguments: dict[str, tuple[Any, ...]] = {}
        self.most_running = self.idle_waits = 0
        self.failing: dict[str, BaseException] = {}
        self.timeouts: list[float | None] = []
        self.cancelled: list[int] = []
        self._nodes = nodes or (node("1", CPU=64.0),)
        self._calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def init(self, **options: Any) -> None:
        self.events.append("init")
        self.init_options = options

    def shutdown(self) -> None:
        self.events.append("shutdown")

    def nodes(self) -> list[dict[str, Any]]:
        return list(self._nodes)

    def put(self, value: Any) -> Any:
        return value

    def remote(self, **options: Any) -> Callable[[Callable[..., Any]], Any]:
        def decorate(function: Callable[..., Any]) -> Any:
            name = function.__name__
            self.task_options[name] = options

            def submit(*arguments: Any) -> int:
                # as Ray sends it to another process
                self.arguments[name] = pickle.loads(pickle.dumps(arguments))
                self.submitted[name] += 1
                self._calls.append((function, self.arguments[name]))
                return len(self._calls) - 1

            return SimpleNamespace(remote=submit)

        return decorate

    def wait(self, refs: list[int], num_returns: int, timeout: float | None = None) -> Any:
        if not 0 < num_returns <= len(refs):
            raise ValueError(f"num_returns must be from 1 to {len(refs)}, but got {num_returns}")
        self.events.append("wait")
        self.timeouts.append(timeout)
        self.most_running = max(self.most_running, len(refs))
        if self.idle_waits:
            self.idle_waits -= 1
            return [], refs
        return refs[-num_returns:], refs[:-num_returns]

    def get(self, ref: int) -> Any:
        function, arguments = self._calls[ref]
        if function.__name__ in self.failing:
            raise self.failing[function.__name__]
        return function(*arguments)

    def cancel(self, ref: int) -> None:
        self.events.append("cancel")
        self.cancelled.append(ref)


def use_fake_ray(patch: pytest.MonkeyPatch, *nodes: dict[str, Any]) -> FakeRay:
    """Let ``import ray`` give a stand-in with those nodes; by default one of 64 processors."""
    fake_ray = FakeRay(*nodes)
    patch.setitem(sys.modules, "ray", cast(ModuleType, fake_ray))
    return fake_ray
