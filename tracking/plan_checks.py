"""Checks of a run's settings and steps before any weight is loaded."""

from __future__ import annotations

import torch
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

from interventions.base import Intervention
from interventions.composition import Composition
from interventions.data.base import Data
from interventions.data.own.data_set import DataSet
from interventions.device_memory import device_bytes
from interventions.errors import InvalidInput, one_of, shown
from interventions.specs import MOST_STEPS
from tracking import schema
from tracking.query import BOOKKEEPING
from tracking.settings import ALL, DATA, DEVICES, Settings, is_gpu
from tracking.settings import DTYPES as DTYPE_NAMES

# names of columns and of options, which a criterion of that name would stand in the way of
_TAKEN = frozenset(
    (
        *(ALL, schema.COMPOSITION, schema.PAIR, schema.RECOMPRESSED_PARAM, *schema.SETTINGS),
        *BOOKKEEPING,
        *("first", "second", "then", "none", "intervention", "partner", "strength", "level"),
        *("context", "settings", "point", "forward", "backward", "criterion", "item", "score"),
        *("order", "replicate", "intervention_variant", "partner_variant"),
    )
)
MAY_BE_EMPTY = frozenset({"forget_topics"})  # where texts are of one topic


def check_data_name(data: object) -> None:
    """Refuse a setting ``data`` that names neither data of ours nor a YAML file."""
    if data not in DATA:
        raise InvalidInput(
            f"data must be {' or '.join(DATA)}, but got {shown(data, 150)}; or give the path of a"
            " YAML file (.yaml) that describes your own"
        )


def check_set_names(data: Data) -> None:
    """Refuse a set of questions that is called as something that runs and analyses have already."""
    for question_set in data.questions.sets:
        name = question_set.name
        if name in _TAKEN or name.startswith("step"):
            raise InvalidInput(
                f"no set of questions can be called {name}, which runs use for something else; give"
                " it another name"
            )


def leakage_of(data: str | DataSet) -> str:
    """Return whether what is learned from was compared with what is measured.

    Somebody's own data are compared when they are read, and refused where they share a text that
    is not allowed; the testbed's and the paper's are as they were made.

    Example:
        >>> leakage_of("testbed")
        'not compared'
    """
    return data.leakage if isinstance(data, DataSet) else "not compared"


def check_parts(step: Intervention, data: Data) -> None:
    """Refuse a step, or one of its branches' steps, whose part of the data is empty."""
    for reader in Composition([step]).with_branches():
        parts, seen = sorted(reader.reads - MAY_BE_EMPTY), reader.own_data(data)
        missing = [part for part in parts if not seen.has(part)]
        if missing:
            raise InvalidInput(
                f"{reader.name} learns from {' and '.join(missing)}, of which the data"
                f" {shown(data.name, 60)} have none"
            )


def most_rounds(recompress: str) -> int:
    """Return how often a compression may be applied again.

    Measured, it is twice, because what was applied again can cost another compression its property:
    SparseGPT moves weights off a quantization grid.

    Example:
        >>> [most_rounds(policy) for policy in ("auto", "paper", "never")]
        [2, 1, 0]
    """
    return {"auto": 2, "paper": 1}.get(recompress, 0)


def check_recompressions(steps: Composition, settings: Settings) -> None:
    """Refuse a composition of which too much may have to be compressed again to be written down."""
    compressions = Composition(step for step in steps if step.category == "compression")
    rounds = most_rounds(settings.recompress)
    again = len(compressions) * rounds
    characters = len(" | ".join([compressions.spec(settings.profile)] * rounds))
    if again > MOST_STEPS or characters > MAX_PARAM_VAL_LENGTH:
        raise InvalidInput(
            f"what recompress={settings.recompress} may apply again can be {MOST_STEPS} steps of"
            f" {MAX_PARAM_VAL_LENGTH} characters together, but got {again} of {characters};"
            " recompress=never applies none again"
        )


def _longest_way(steps: Composition) -> int:
    """Return how many steps there are at most from the first to the last of a branch."""
    ways = [
        index + _longest_way(branch)
        for index, step in enumerate(steps)
        for branch in step.compositions()
    ]
    return max([len(steps), *ways])


def check_length(steps: Composition, profile: str) -> None:
    """Refuse a composition that is too long with its branches, or that MLflow would cut.

    Runs of what is cut could not be told apart.
    """
    longest, spec = _longest_way(steps), steps.spec(profile)
    if longest > MOST_STEPS:
        raise InvalidInput(
            f"a composition may have {MOST_STEPS} steps up to the end of a branch, but got"
            f" {longest}"
        )
    if len(spec) > MAX_PARAM_VAL_LENGTH:
        raise InvalidInput(
            f"a composition may have {MAX_PARAM_VAL_LENGTH} characters, as MLflow's params,"
            f" but got {len(spec)}: {shown(spec, 100)}"
        )


def device_and_dtype(settings: Settings, remote: bool) -> tuple[str, str]:
    """Return the device and the dtype that the settings come to.

    Args:
        settings: as a user gave them.
        remote: whether the run is on another machine, which has a GPU if it is asked for.

    Raises:
        InvalidInput: there is no such one, or no GPU.
    """
    if not is_gpu(settings.device) and settings.device not in DEVICES:
        raise InvalidInput(
            f"device must be auto or cpu or cuda, but got {shown(settings.device)}; one of several"
            " GPUs is cuda:0, cuda:1 and so on"
        )
    one_of("dtype", settings.dtype, DTYPE_NAMES)
    wants_cuda = settings.device not in ("auto", "cpu")
    has_cuda = torch.cuda.is_available() or (remote and wants_cuda)
    if wants_cuda and not has_cuda:
        raise InvalidInput(
            f"device is {settings.device}, but torch sees no GPU here; use device=cpu or"
            " device=auto"
        )
    if is_gpu(settings.device) and not remote:
        _check_index(settings.device)
    device = "cuda" if settings.device == "auto" else settings.device
    device = device if has_cuda else "cpu"
    if settings.dtype != "auto":
        return device, settings.dtype
    # a CPU emulates bfloat16, a hundred times slower
    return device, "float32" if device == "cpu" else "bfloat16"


def _check_index(device: str) -> None:
    """Refuse the index of a GPU that is not here."""
    count = torch.cuda.device_count()
    if int(device.partition(":")[2]) >= count:
        others = f"cuda:0 to cuda:{count - 1}" if count > 1 else "cuda:0"
        raise InvalidInput(
            f"device is {device}, but torch sees {count} GPU{'s' if count > 1 else ''} here:"
            f" use {others}"
        )


def check_fits(weight_bytes: int, settings: Settings) -> None:
    """Refuse a model whose weights alone do not fit into the memory of its device.

    Args:
        weight_bytes: of all its weights, in the settings' dtype.
        settings: with device and dtype as they come out.

    Raises:
        InvalidInput: they do not; both sizes are said.
    """
    memory = device_bytes(settings.device)
    if memory is None or weight_bytes <= memory:
        return
    of_what = "free memory" if settings.device == "cpu" else "memory"
    instead = "" if settings.dtype != "float32" else "; dtype=bfloat16 takes half"
    raise InvalidInput(
        f"model {shown(settings.model, 100)} does not fit: its weights take"
        f" {weight_bytes / 2**30:.3g} GiB in {settings.dtype}, and {settings.device} has"
        f" {memory / 2**30:.3g} GiB of {of_what}{instead}"
    )
