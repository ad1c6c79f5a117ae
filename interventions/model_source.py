"""Check what loading a model would do besides loading it: a folder may be hostile.

transformers runs the code that a folder names, unpickles its weights, follows an index out of the
folder and fetches kernels from the hub. What of that a user did not ask for is refused here, from
what the small JSON files say.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from huggingface_hub.constants import HF_HUB_CACHE
from safetensors import SafetensorError, safe_open
from transformers import dynamic_module_utils
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import (
    ADAPTER_CONFIG_NAME,
    CONFIG_NAME,
    GENERATION_CONFIG_NAME,
    SAFE_WEIGHTS_INDEX_NAME,
    SAFE_WEIGHTS_NAME,
    WEIGHTS_INDEX_NAME,
    WEIGHTS_NAME,
)

from interventions.errors import shown
from interventions.model_files import (
    TOKENIZER_CONFIG_NAME,
    ModelFiles,
    read_model_files,
    texts,
)
from interventions.small_json import entries, number_of_values

_NO_CONVERSION = "DISABLE_SAFETENSORS_CONVERSION"  # an environment variable of transformers
_SAFE = ".safetensors"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_EXPLICIT_WEIGHTS = "transformers_weights"  # in config.json: the name of the weights' file
_IMPLEMENTATIONS = (
    "attn_implementation",
    "_attn_implementation",
    "experts_implementation",
    "_experts_implementation",
)
_PACKED = ("quantization_config", "compression_config")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_MOST_LAYERS = 1_000  # the deepest language models have 200; a million would fill the memory
# endings of what transformers makes a part for each of, and the greatest number of it
_PARTS = {"layers": _MOST_LAYERS, "experts": 10_000, "codebooks": 10_000, "num_labels": 10_000}
# of a tokenizer's config: how many tokens it is to make up
_MADE_UP = ("extra_ids", "offset", "num_madeup_words")
_MOST_MADE_UP = 100_000
_MOST_VALUES = 100_000  # of a config; transformers copies and checks each several times
_MOST_SHOWN = 60  # characters of what a folder says


def check_source(
    source: str | Path,
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> None:
    """Check that a model can be loaded, and that loading it does nothing but that.

    Args:
        source: a checkpoint folder, or a model's id on the Hugging Face hub.
        revision: of the hub's model.
        trust_remote_code: whether code that comes with the model may run.
        allow_pickle: whether weights may be pickled, where there are no others.

    Raises:
        InvalidInput: one line that says what is wrong, and what to do.
    """
    files = read_model_files(source, revision)
    _refuse_links(files)
    _refuse_adapter(files)
    if not trust_remote_code:
        _refuse_own_code(files)
    _refuse_by_config(files)
    _refuse_sizes(files)
    for name in _weight_files(files, allow_pickle):
        if name not in files.names:
            raise files.refusal(f"there is no file {shown(name, _MOST_SHOWN)}, which has weights")
        if files.is_local and not (files.folder / name).is_file():
            raise files.refusal(f"{name} is not a regular file")


def check_size(source: str | Path, numbers: int) -> bool:
    """Check that a folder's weights are as many as its config makes of the model.

    transformers would make up what is missing, and fill the memory with it.

    Args:
        source: a model that ``check_source`` lets through.
        numbers: how many there are in the model's weights.

    Returns:
        Whether that could be told: the model is a folder with safetensors.

    Raises:
        InvalidInput: the model has over twice the numbers that are stored, or a file is damaged.
    """
    files = read_model_files(source) if Path(source).is_dir() else None
    names = [] if files is None else _weight_files(files, allow_pickle=True)
    if files is None or not all(name.endswith(_SAFE) for name in names):
        return False
    stored = sum(_stored_numbers(files, name) for name in names)
    if numbers > 2 * stored:
        raise files.refusal(
            f"config.json describes a model of {numbers:,} numbers, but {stored:,} are stored"
        )
    return True


@contextmanager
def only_loading() -> Iterator[None]:
    """Keep transformers from two things that it does besides loading.

    It asks on the terminal whether code of a part of the model may run, as it does not hand on
    ``trust_remote_code`` to parts. And it has a service convert pickles on the hub, in a thread.
    """
    # one variable alone: mock.patch.dict would empty the environment for a moment, which the
    # thread of the run's heartbeat reads
    before = os.environ.get(_NO_CONVERSION)
    os.environ[_NO_CONVERSION] = "1"
    try:
        with mock.patch.object(dynamic_module_utils, "TIME_OUT_REMOTE_CODE", 0):
            yield
    finally:
        del os.environ[_NO_CONVERSION]
        if before is not None:
            os.environ[_NO_CONVERSION] = before


def _refuse_links(files: ModelFiles) -> None:
    """Refuse a link out of the folder, to a file that whoever made the folder may not have read.

    The hub's cache consists of links to its blobs, and folders were made with links to it.
    """
    if not files.is_local:
        return
    folder = files.folder.resolve()
    inside = [folder, Path(HF_HUB_CACHE).resolve()]
    if folder.parent.name == "snapshots":  # of a cache that was moved
        inside.append(folder.parent.parent / "blobs")
    for name in sorted(files.names):
        path = files.folder / name
        if path.is_symlink() and not any(path.resolve().is_relative_to(root) for root in inside):
            raise files.refusal(
                f"{shown(name, _MOST_SHOWN)} is a link out of the folder: copy what it leads to"
            )


def _refuse_adapter(files: ModelFiles) -> None:
    if ADAPTER_CONFIG_NAME in files.names:
        # transformers would load the model that it names, from wherever that is
        raise files.refusal(
            f"it is an adapter of another model ({ADAPTER_CONFIG_NAME}): merge the two"
            " (peft: merge_and_unload), save the result, and give its folder"
        )


def _refuse_own_code(files: ModelFiles) -> None:
    """Refuse a model that names code of its own.

    Much of the hub brings code that transformers has had built in since: of that the built-in code
    is run. The owner of a folder can take ``auto_map`` out instead.
    """
    classes, model_type = files.own_code(), files.config.get("model_type")
    is_built_in = isinstance(model_type, str) and model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    if not classes or (is_built_in and not files.is_local):
        return
    instead = f"; without auto_map, transformers' own {model_type} is used" if is_built_in else ""
    raise files.refusal(
        f"auto_map names code that comes with it ({shown(classes[0], _MOST_SHOWN)}), which runs"
        f" only with trust_remote_code=true{instead}"
    )


def _refuse_sizes(files: ModelFiles) -> None:
    """Refuse what transformers would take minutes, or all memory, to make of a small file."""
    for name in (CONFIG_NAME, GENERATION_CONFIG_NAME):
        count = number_of_values(files.documents.get(name, {}))
        if count > _MOST_VALUES:
            raise files.refusal(f"{name} has {count} values, over {_MOST_VALUES}")
    for key, value in entries(files.config):
        most = next((most for end, most in _PARTS.items() if key.endswith(end)), None)
        if most is not None and isinstance(value, int) and value > most:
            raise files.refusal(
                f"{shown(key, _MOST_SHOWN)} in config.json is {shown(value, _MOST_SHOWN)},"
                f" over {most}"
            )
    for key in _MADE_UP:
        value = files.documents.get(TOKENIZER_CONFIG_NAME, {}).get(key)
        if isinstance(value, int) and value > _MOST_MADE_UP:
            raise files.refusal(
                f"{key} in {TOKENIZER_CONFIG_NAME} is {shown(value, _MOST_SHOWN)},"
                f" over {_MOST_MADE_UP}"
            )


def _refuse_by_config(files: ModelFiles) -> None:
    if "configuration_files" in files.config:
        raise files.refusal(
            "config.json points to others (configuration_files), which are not read"
        )
    for key, value in entries(files.config):
        if key in _PACKED and value is not None:
            method = value.get("quant_method") if isinstance(value, Mapping) else value
            raise files.refusal(
                f"its weights are packed ({key}: {shown(method, _MOST_SHOWN)}), but interventions"
                " need plain ones: unpack them first"
            )
        if key == "return_dict" and value is not True:
            raise files.refusal(
                f"return_dict in config.json is {shown(value, _MOST_SHOWN)}, but outputs are read"
                " by name: take the entry out"
            )
        # "owner/name" is a kernel: code that transformers fetches from the hub
        if key in _IMPLEMENTATIONS and any("/" in text for text in texts(value)):
            raise files.refusal(
                f"{key} in config.json names code on the hub ({shown(value, _MOST_SHOWN)}), which"
                " is never fetched: take the entry out"
            )
        if key in _LAYERS and isinstance(value, int) and not 1 <= value <= _MOST_LAYERS:
            raise files.refusal(
                f"{key} in config.json is {shown(value, _MOST_SHOWN)}, not 1 to {_MOST_LAYERS}"
            )


def _weight_files(files: ModelFiles, allow_pickle: bool) -> list[str]:
    """Return the names of the files that transformers would read weights from."""
    explicit = files.config.get(_EXPLICIT_WEIGHTS)
    if explicit is not None:
        place = f"{_EXPLICIT_WEIGHTS} in config.json"
        return [_plain_name(files, explicit, place, (_SAFE,))]
    if SAFE_WEIGHTS_NAME in files.names:
        return [SAFE_WEIGHTS_NAME]
    if SAFE_WEIGHTS_INDEX_NAME in files.names:
        return _shards(files, SAFE_WEIGHTS_INDEX_NAME, (_SAFE,))
    pickles = sorted(name for name in files.names if name.endswith(_PICKLES))
    if pickles and not allow_pickle:
        raise files.refusal(
            f"its weights are there only as a pickle ({shown(pickles[0], _MOST_SHOWN)}), which can"
            " hide code: save them as safetensors, or trust them with allow_pickle=true"
        )
    if WEIGHTS_NAME in files.names:
        return [WEIGHTS_NAME]
    if WEIGHTS_INDEX_NAME in files.names:
        return _shards(files, WEIGHTS_INDEX_NAME, (_SAFE, ".bin"))
    raise files.refusal(f"there are no weights ({SAFE_WEIGHTS_NAME})")


def _shards(files: ModelFiles, index: str, suffixes: tuple[str, ...]) -> list[str]:
    weight_map = files.documents[index].get("weight_map")
    if not isinstance(files.documents[index].get("metadata"), Mapping):
        raise files.refusal(f"{index} has no metadata")  # which transformers cannot do without
    if not isinstance(weight_map, Mapping) or not weight_map:
        raise files.refusal(f"{index} has no weight_map")
    return sorted({_plain_name(files, name, index, suffixes) for name in weight_map.values()})


def _plain_name(files: ModelFiles, name: object, place: str, suffixes: tuple[str, ...]) -> str:
    """Return the name of a file in the folder itself, and of a kind that may be read.

    transformers joins a name to the folder as it is, and unpickles what is not ``.safetensors``.
    """
    if isinstance(name, str) and name == Path(name).name and name.endswith(suffixes):
        return name
    raise files.refusal(
        f"{place} names {shown(name, _MOST_SHOWN)}, which is no {' or '.join(suffixes)} file in it"
    )


def _stored_numbers(files: ModelFiles, name: str) -> int:
    try:
        with safe_open(files.folder / name, "pt") as opened:
            names = opened.keys()
            return sum(math.prod(opened.get_slice(key).get_shape()) for key in names)
    except (SafetensorError, OSError) as error:
        raise files.refusal(f"{name} is damaged: {error}") from error
