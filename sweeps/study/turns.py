"""Turns: what only one process may do at a time, on whichever machine it runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage

from sweeps.study.attributes import OWNER
from tracking import lifecycle

_WAIT_SECONDS = 1.0  # between two looks at whether the turn is free
UNSIGNED_SECONDS = 60.0  # after which what is claimed, but says not by whom, is lost


@contextmanager
def exclusive_turn(storage: BaseStorage, name: str, is_quiet: Callable[[], bool]) -> Iterator[None]:
    """Hold a turn while the block runs; wait for it as long as another process holds it.

    The turn is a study of its own, named ``name``: a storage lets only one process make it.

    Args:
        storage: that the processes share.
        name: of the turn.
        is_quiet: says whether no run of the study lives. A turn that a process on another host
            holds is then taken over once that process has been silent for long.
    """
    _acquire(storage, name, is_quiet)
    try:
        yield
    finally:
        _release(storage, name)


def _acquire(storage: BaseStorage, name: str, is_quiet: Callable[[], bool]) -> None:
    waits = 0
    while True:
        try:
            turn = optuna.create_study(storage=storage, study_name=name)
            turn.set_user_attr(OWNER, lifecycle.process_tags())
            return
        except DuplicatedStudyError:
            waits += 1
        with contextlib.suppress(KeyError):  # the turn was released meanwhile
            owner = storage.get_study_user_attrs(storage.get_study_id_from_name(name)).get(OWNER)
            is_unsigned = owner is None and waits * _WAIT_SECONDS > UNSIGNED_SECONDS
            if is_unsigned or (owner is not None and _is_over(owner, is_quiet)):
                optuna.delete_study(study_name=name, storage=storage)
                continue
        time.sleep(_WAIT_SECONDS)


def _release(storage: BaseStorage, name: str) -> None:
    with contextlib.suppress(KeyError):  # it was taken over
        optuna.delete_study(study_name=name, storage=storage)


def _is_over(owner: Mapping[str, str], is_quiet: Callable[[], bool]) -> bool:
    return lifecycle.is_process_gone(owner) and (lifecycle.is_here(owner) or is_quiet())
