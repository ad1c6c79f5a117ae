"""Restore the full folder of a run's checkpoint: `composability restore RUN_ID STEP FOLDER`.

The run may have logged it whole, as what changed, or not at all. It is put together from the
artifacts, verified against the checksum that the run recorded in a tag, and computed again from the
run's params where it is missing or damaged. The folder appears only when it is complete.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mlflow.entities import Run

from interventions.arguments import checked
from interventions.aside import whole_folder
from interventions.errors import InvalidInput, shown
from interventions.files import set_read_only
from tracking import history, schema
from tracking.chain import Chain
from tracking.checkpoints.artifacts import LoggedCheckpoints
from tracking.checkpoints.holding import HeldCheckpoints
from tracking.checkpoints.integrity import content_checksum, damaged_files, in_words
from tracking.checkpoints.model_address import MODELS, checkpoint_at
from tracking.checkpoints.recorded_runs import (
    chain_of_run,
    check_permitted,
    names_of_steps,
    recorded_run,
)
from tracking.checkpoints.store import Checkpoints

_COMPLETE = "complete"  # the folder for what is then renamed
_MOST_PATH_BYTES = 4000  # Linux allows 4095, and files are to go into the folder


@checked
def load_checkpoint(
    run_id: str,
    step: int | None = None,
    folder: Path | str | None = None,
    checkpoints: Checkpoints | None = None,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> Path:
    """Return the folder of the checkpoint after some of a run's interventions.

    ``from_pretrained`` loads it. Whether the run logged it whole, as what changed, or not at all
    makes no difference.

    Args:
        run_id: of a composition; or the address of a registered checkpoint, such as
            ``"models:/edited-and-pruned@champion"``, ``"models:/edited-and-pruned/2"`` or
            ``"models:/m-<id>"``, which says the step, too.
        step: 1 to the number of interventions, recompressions included; None: the last.
        folder: a new folder to write to; by default the checkpoint is only stored in the cache,
            and may be dropped when room is needed. What came from artifacts has a name of its own
            there, and no run goes on from it.
        checkpoints: where checkpoints are stored; the checkout's by default.
        trust_remote_code: whether code that comes with the model may run, if it ran in the run.
        allow_pickle: whether the model's weights may be pickled, if they could be in the run.

    Raises:
        InvalidInput: there is no such run, step or model; ``folder`` exists or cannot be made; the
            run trusted what the caller does not; or the checkpoint was not logged whole or is
            damaged, and the code, model or data of now would lead to another, or did: what is
            computed again has to have the checksum that the run recorded, if it did.

    Example:
        With the id of a run of two interventions,
        ``load_checkpoint(run_id, 2, "edited-and-pruned")`` writes what came of both. Without it:

        >>> load_checkpoint("unknown", 1)
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: no run has the id 'unknown' in sqlite:...
    """
    out = None if folder is None else _new_path(folder)
    if isinstance(run_id, str) and run_id.startswith(MODELS):
        run_id, step = checkpoint_at(run_id, step)
    run = recorded_run(run_id)
    names = names_of_steps(run, step)
    step = len(names) if step is None else step
    check_permitted(run, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle)
    if out is None:
        checkpoints = checkpoints or Checkpoints()
        return _in_cache(run, names, step, checkpoints)
    chain = chain_of_run(run, checkpoints or Checkpoints())
    with _beside(out) as aside, HeldCheckpoints(chain) as held:
        logged = LoggedCheckpoints(run, names, held, aside / "artifacts")
        whole = logged.whole(step)
        is_ours = whole is not None
        if whole is None:
            whole = _computed_again(run, step, chain, logged, held.folder)
        with _one_line_if_it_fails(out):
            complete = aside / _COMPLETE / out.name
            if is_ours:
                whole.rename(complete)
            else:
                _copy(whole, complete)
            set_read_only(complete, read_only=False)  # the folder is the user's to change
            _check_free(out)
            complete.rename(out)
    return out


def _in_cache(run: Run, names: list[str], step: int, checkpoints: Checkpoints) -> Path:
    """Return the folder of a checkpoint in the cache."""
    chain = chain_of_run(run, checkpoints)
    key, recorded = chain.keys[step], run.data.tags.get(schema.checksum_tag(step))
    if checkpoints.is_sound(key):
        stored = checkpoints.path(key)
        is_same_chain = run.data.tags.get(schema.KEY) == chain.keys[-1]
        if recorded == content_checksum(stored) or (recorded is None and is_same_chain):
            return stored
    with ExitStack() as stack:
        with _one_line_if_it_fails(checkpoints.folder):
            aside = stack.enter_context(whole_folder(checkpoints.folder))
        held = stack.enter_context(HeldCheckpoints(chain))
        logged = LoggedCheckpoints(run, names, held, aside)
        whole = logged.whole(step)
        if whole is not None:
            return checkpoints.add_restored(whole)
    return _computed_again(run, step, chain, logged, chain.checkpoint_folder)


def _new_path(folder: object) -> Path:
    """Return a path to which a folder may be written, as far as its name tells."""
    text = os.fspath(folder) if isinstance(folder, str | Path) else ""
    if not text or not text.isprintable() or len(text.encode()) > _MOST_PATH_BYTES:
        raise InvalidInput(
            "folder must be the path of a new folder, printable and of at most"
            f" {_MOST_PATH_BYTES} bytes, but got {shown(folder, 100)}"
        )
    _check_free(Path(text))
    return Path(text)


def _check_free(out: Path) -> None:
    if os.path.lexists(out):
        raise InvalidInput(f"cannot write to {shown(str(out))}: it exists")


def _copy(checkpoint: Path, complete: Path) -> None:
    shutil.copytree(checkpoint, complete, symlinks=True, dirs_exist_ok=True)
    if damaged := damaged_files(complete):
        raise InvalidInput(f"{in_words(damaged)}: damaged while it was copied")


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """Give a folder on the file system of ``out``, with a place for what is complete.

    That is an empty folder of the same name, so that a name which the file system does not take is
    refused before anything is computed. Folders made for it go again if ``out`` does not come.
    """
    missing = [parent for parent in out.parents if not os.path.lexists(parent)]
    with ExitStack() as stack:
        stack.callback(_remove_empty, missing)
        with _one_line_if_it_fails(out):
            aside = stack.enter_context(whole_folder(out.parent))
            (aside / _COMPLETE / out.name).mkdir(parents=True)
        yield aside


@contextmanager
def _one_line_if_it_fails(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidInput(
            f"cannot write to {shown(str(out))}: {error.strerror or error}"
        ) from error


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # there is something in it
            folder.rmdir()


def _computed_again(
    run: Run,
    step: int,
    chain: Chain,
    logged: LoggedCheckpoints,
    folder_of_step: Callable[[int], Path | None],
) -> Path:
    """Return the folder of a checkpoint that the artifacts do not give, from the cache."""
    recorded_key, run_id = run.data.tags.get(schema.KEY), run.info.run_id
    if recorded_key != chain.keys[-1]:
        raise InvalidInput(
            f"step {step} of run {run_id} {_problem(logged)}, and cannot be computed"
            f" again: {history.what_differs(run.data.params)} now (key {chain.keys[-1]}, recorded"
            f" {shown(recorded_key, 40)})"
        )
    whole = folder_of_step(step)
    if whole is None:
        raise InvalidInput(
            f"step {step} cannot be kept in the cache {shown(str(chain.checkpoints.folder), 200)}:"
            " give a folder to restore to"
        )
    recorded = run.data.tags.get(schema.checksum_tag(step))
    if recorded not in (None, content_checksum(whole)):
        raise InvalidInput(
            f"step {step} of run {run_id} {_problem(logged)}, and what was computed again is not"
            " the checkpoint whose checksum the run recorded: another processor rounds otherwise,"
            f" or the cache was changed (remove {shown(str(chain.checkpoints.folder), 60)})"
        )
    if logged.damage:
        warnings.warn(
            f"the checkpoint of step {logged.damaged_step} of run {run_id} is damaged"
            f" ({logged.damage}): computed again",
            stacklevel=4,
        )
    return whole


def _problem(logged: LoggedCheckpoints) -> str:
    return f"is damaged ({logged.damage})" if logged.damage else "was not logged whole"
