"""What a run will do, checked in full before any weight is loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from interventions.anatomy import check_anatomy, context_length
from interventions.composition import Composition, digest
from interventions.criteria.base import Criterion, selected
from interventions.data.base import Data
from interventions.data.own.answers import check_answers
from interventions.data.own.data_set import DataSet
from interventions.data.own.reading import resolved
from interventions.errors import LONGEST_PATH, one_of, plain_text, whole_number
from interventions.lm import DTYPES, skeleton
from interventions.model_files import own_code
from interventions.options import PRESET, PROMPT_FORMATS, RECOMPRESS, SPLITS, TAILS
from interventions.prompt_format import PLAIN, PromptFormat, read_prompt_format
from interventions.tokenizer import load_tokenizer
from tracking import schema
from tracking.model_identity import weights_identity
from tracking.model_name import model_revision, model_source
from tracking.plan_checks import (
    check_data_name,
    check_fits,
    check_length,
    check_parts,
    check_recompressions,
    check_set_names,
    device_and_dtype,
    leakage_of,
)
from tracking.run_data import RunData, writes_later_batches
from tracking.settings import (
    CHECKPOINTS,
    MOST_ITEMS,
    MOST_WINDOW,
    SEED_LIMIT,
    Settings,
    check_window,
    yes_or_no,
)
from tracking.versions import TESTBED, with_version

_MOST_EDIT_BATCHES = 1_000_000  # the data say how many there are


@dataclass(frozen=True)
class Plan:
    """A checked run.

    Attributes:
        composition: what is applied.
        requested: the settings as a user gave them, the testbed's names with their version.
        settings: the settings as they came out: device and dtype are no longer "auto", recompress
            is no longer "preset", and window is what is scored together.
        source: the model's folder, or its Hugging Face id.
        data: what the steps learn from and what judges them.
        origin: the identity of the base model in this run.
        keys: one per checkpoint, the base model's first.
        checkpoint_bytes: what the weights of one have, in the run's dtype.
        prompt_format: what is put around the prompts of edits and questions.
        revision: of the hub's model, if one is named.
    """

    composition: Composition
    requested: Settings
    settings: Settings
    source: str
    data: Data
    origin: str
    keys: list[str]
    checkpoint_bytes: int = 0
    prompt_format: PromptFormat = PLAIN
    revision: str | None = None

    @property
    def criteria(self) -> list[Criterion]:
        """What the run is judged by: the criteria of the settings."""
        return selected(self.data, self.settings.criteria)

    @cached_property
    def measured_data(self) -> Data:
        """The data that judge the run: all, or the sample that ``limit`` asks for."""
        return self.data.limited(self.settings.limit)

    @property
    def leakage(self) -> str:
        """Whether what steps learn from was compared with what is measured."""
        return leakage_of(self.settings.data)

    def spec(self) -> str:
        """Return the composition as text, on this plan's profile."""
        return self.composition.spec(self.settings.profile)

    def sources(self) -> dict[str, str]:
        """Return the params that say what was read where there is a choice of files."""
        names = {"", *(step.name for step in self.composition.with_branches())}
        return {
            f"{part}{schema.FROM}": source
            for part, source in self.data.sources
            if part.rpartition(".")[0] in names
        }


class RunContext:
    """What all compositions under the same settings share; each part is made when first needed.

    Args:
        settings: as a user gave them.
        remote: whether the runs are on another machine, so that this one need not have the device.

    Attributes:
        requested: the settings as given, the testbed's names with their version.
        settings: with device, dtype and recompress as they come out.
        source: the model's folder, or its Hugging Face id.
        revision: of the hub's model, if one is named.

    Raises:
        InvalidInput: a setting is not valid.
    """

    def __init__(self, settings: Settings, remote: bool = False) -> None:
        data = with_version("data", resolved(settings.data))
        if not isinstance(data, DataSet) and data != with_version("data", TESTBED):
            check_data_name(settings.data)
        one_of("split", settings.split, SPLITS)
        one_of("recompress", settings.recompress, RECOMPRESS)
        check_window(settings.window)
        whole_number("stride", settings.stride, 0, MOST_WINDOW)
        one_of("tail", settings.tail, TAILS)
        plain_text("criteria", settings.criteria, MAX_PARAM_VAL_LENGTH)
        whole_number("limit", settings.limit, 0, MOST_ITEMS)
        one_of("prompt_format", settings.prompt_format, PROMPT_FORMATS)
        one_of("checkpoints", settings.checkpoints, CHECKPOINTS)
        whole_number("seed", settings.seed, 0, SEED_LIMIT)
        whole_number("edit_batch", settings.edit_batch, 0, _MOST_EDIT_BATCHES)
        plain_text("model", settings.model, LONGEST_PATH)
        yes_or_no("trust_remote_code", settings.trust_remote_code)
        yes_or_no("allow_pickle", settings.allow_pickle)
        settings = replace(settings, data=data, model=with_version("model", settings.model))
        self.requested, self._remote, self._checked = settings, remote, set[str]()
        device, dtype = device_and_dtype(settings, remote)
        recompress = "auto" if settings.recompress == PRESET else settings.recompress
        self.settings = replace(settings, device=device, dtype=dtype, recompress=recompress)
        self.source = model_source(settings.model)
        self.revision = model_revision(settings.model)

    def for_replicate(self, seed: int, edit_batch: int) -> RunContext:
        """Return the context with another seed and batch of edits; the model is not read again."""
        replicate = self._with(seed=seed, edit_batch=edit_batch)
        if edit_batch == self.requested.edit_batch:
            replicate.data = self.data
        return replicate

    def for_split(self, split: str) -> RunContext:
        """Return the context judged by another split of the data; the model is not read again."""
        return self._with(split=split)

    def _with(self, **settings: Any) -> RunContext:
        changed = RunContext(replace(self.requested, **settings), self._remote)
        changed.anatomy, changed.weights = self.anatomy, self.weights
        return changed

    @cached_property
    def anatomy(self) -> PreTrainedModel:
        """The model without its weights."""
        return skeleton(
            self.source,
            self.revision,
            trust_remote_code=self.settings.trust_remote_code,
            allow_pickle=self.settings.allow_pickle,
        )

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's tokenizer."""
        return load_tokenizer(self.source, self.revision, self.settings.trust_remote_code)

    @cached_property
    def prompt_format(self) -> PromptFormat:
        """What is put around the prompts of edits and questions."""
        name = self.settings.prompt_format
        return PLAIN if name == PLAIN.name else read_prompt_format(name, self.tokenizer)

    @cached_property
    def weights(self) -> str:
        """The identity of the model's weights."""
        code = own_code(self.source, self.revision) if self.settings.trust_remote_code else []
        return weights_identity(self.source, self.anatomy.config, bool(code), self.revision)

    @cached_property
    def data(self) -> Data:
        """What the steps learn from and what judges them, where they write one batch of edits."""
        return self._run_data.first

    @cached_property
    def _run_data(self) -> RunData:
        return RunData(self.settings)

    @property
    def own_window(self) -> int:
        """The window of the data, where no setting says another."""
        return self._run_data.own_window

    def _check_own_data(self, data: Data) -> None:
        """Check data of somebody's own against the model, once for each batch or several."""
        edits = data.identity("edits")
        if edits in self._checked or not isinstance(self.settings.data, DataSet):
            return
        check_set_names(data)
        check_answers(data, self.tokenizer, self.settings.model, self.prompt_format)
        self._checked.add(edits)

    @property
    def window(self) -> int:
        """How many tokens perplexity scores together: the data's, or as many as the model reads."""
        return min(self.data.window, context_length(self.anatomy) or self.data.window)

    @property
    def origin(self) -> str:
        """The identity of the base model in a run: weights, dtype, seed, and a chat's format."""
        parts = [self.weights, self.settings.dtype, self.settings.seed]
        # plain prompts have keys as before there was a choice
        return digest("origin", *parts, *filter(None, [self.prompt_format.identity]))

    def plan(self, steps: Composition, recorded: bool = False) -> Plan:
        """Return the checked plan of a composition.

        Args:
            steps: the composition.
            recorded: whether a run did it before; then it took as many texts as there were.

        Raises:
            InvalidInput: it is too long, or may be after recompression; the weights do not fit into
                the memory that the device here has; a step does not fit the model, or its weights
                are not all known: every run measures their sparsity and bits; or the data lack what
                a step learns from, or what a criterion of the settings is measured on.
        """
        check_length(steps, self.settings.profile)
        if not recorded:
            check_recompressions(steps, self.settings)
        check_anatomy(self.anatomy)
        weight_bytes = DTYPES[self.settings.dtype].itemsize * self.anatomy.num_parameters()
        if not self._remote:
            check_fits(weight_bytes, self.settings)
        data = self._run_data.of(steps) if writes_later_batches(steps) else self.data
        selected(data, self.settings.criteria)
        self._check_own_data(data)
        for step in steps:
            step.check(self.anatomy)
            check_parts(step, data)
            if not recorded:
                step.check_texts(step.own_data(data))
        return Plan(
            composition=steps,
            requested=self.requested,
            settings=replace(self.settings, window=self.window),
            source=self.source,
            data=data,
            origin=self.origin,
            keys=steps.keys(self.origin, data),
            checkpoint_bytes=weight_bytes,
            prompt_format=self.prompt_format,
            revision=self.revision,
        )


def plan_run(composition: Composition | str, settings: Settings, recorded: bool = False) -> Plan:
    """Check everything about a run; the model's config is read, not its weights.

    Args:
        composition: ``"lora | wanda(sparsity=0.25)"``, or a Composition.
        settings: as a user gave them.
        recorded: whether a run did it before.

    Raises:
        InvalidInput: one line that says what is wrong and what is valid.

    Example:
        >>> plan_run("wanda", Settings(seed=1)).spec()
        'wanda(sparsity=0.5)'
    """
    context = RunContext(settings)
    if isinstance(composition, str):
        composition = Composition.parse(composition, settings.profile)
    return context.plan(composition, recorded)
