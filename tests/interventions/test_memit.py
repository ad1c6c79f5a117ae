"""MEMIT, its second moments and its shortened passes against plain full passes over one unpadded text at a time.

The references are written from the papers' equations, in float64: Meng et al. 2023, "Mass-Editing Memory in a
Transformer" (MEMIT), and Meng et al. 2022, "Locating and Editing Factual Associations in GPT" (ROME).
"""

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from interventions.anatomy import hidden_states, split
from interventions.composition import apply
from interventions.data import testbed as bed
from interventions.data.base import Data, Edit
from interventions.data.testbed import MODEL
from interventions.editing.memit import MEMIT, update
from interventions.editing.second_moments import second_moments
from interventions.errors import InvalidInput
from interventions.lm import LM, skeleton

TEXTS = 200  # for second moments
KEY = "0123456789abcdef" * 2


# the reference


class Reference:
    """The testbed's model in float64, asked by plain full passes over one unpadded text at a time."""

    def __init__(self) -> None:
        self.model = LM.load(MODEL).model.double()
        self.tokenizer = AutoTokenizer.from_pretrained(MODEL)
        self.blocks: Any = self.model.model.layers

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text)["input_ids"]

    def subject_end(self, before: str, edit: Edit) -> int:
        """The index of the subject's last token in before + prompt: the length, less one, of all that ends there."""
        head = edit.prompt.partition(edit.subject)[0] + edit.subject
        ids = self.ids(before + head)
        assert (
            self.ids(before + edit.prompt)[: len(ids)] == ids
        )  # the subject's end is a token's end
        return len(ids) - 1

    def run(
        self, text: str, layer: int, at: int | None = None, delta: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Logits (tokens, vocabulary); keys (tokens, in) and outputs (tokens, hidden) of a block that delta shifts."""
        seen: dict[str, Tensor] = {}

        def before(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            seen["keys"] = args[0][0].detach().clone()

        def after(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            seen["hidden"] = output[0].detach().clone()
            if delta is None:
                return output
            shift = torch.zeros_like(output)
            shift[0, at] = 1
            return output + shift * delta

        handles = [
            self.blocks[layer].mlp.down_proj.register_forward_pre_hook(before),
            self.blocks[layer].register_forward_hook(after),
        ]
        logits = self.model(torch.tensor([self.ids(text)])).logits[0]
        for handle in handles:
            handle.remove()
        return logits, seen["keys"], seen["hidden"]

    def moments(self, texts: Sequence[str], layers: Sequence[int]) -> dict[int, Tensor]:
        """X'X / n over the tokens of the texts, by layer."""
        rows: dict[int, list[Tensor]] = {layer: [] for layer in layers}
        handles = [
            self.blocks[layer].mlp.down_proj.register_forward_pre_hook(
                lambda m, x, seen=seen: seen.append(x[0][0])
            )
            for layer, seen in rows.items()
        ]
        with torch.no_grad():
            for text in texts:
                self.model(torch.tensor([self.ids(text)]))
        for handle in handles:
            handle.remove()
        return {
            layer: torch.cat(x).T @ torch.cat(x) / len(torch.cat(x)) for layer, x in rows.items()
        }

    def target(
        self,
        memit: MEMIT,
        edit: Edit,
        befores: Sequence[str] = ("",),
        ends: Sequence[int] | None = None,
    ) -> tuple[Tensor, int]:
        """z = h + d (hidden) and the number of steps taken: MEMIT, equation 16, with the terms of ROME, equation 4."""
        last = max(memit.layers)
        ends = ends or [self.subject_end(before, edit) for before in befores]
        neutral = f"{edit.subject} is a"
        neutral_end = len(self.ids(edit.subject)) - 1
        with torch.no_grad():
            logits, _, _ = self.run(neutral, last)
            unedited = logits[neutral_end].log_softmax(0)
            h = self.run(edit.prompt, last)[2][self.subject_end("", edit)]
        delta = torch.zeros_like(h, requires_grad=True)
        optimizer = torch.optim.Adam([delta], lr=memit.lr)
        taken = 0
        while (
            taken < memit.steps - 1
        ):  # the authors' code tests before it steps, and does not step after the last test
            losses = []
            for before, end in zip(befores, ends, strict=True):
                prompt = self.ids(before + edit.prompt)
                ids = self.ids(f"{before}{edit.prompt} {edit.target}")
                logits, _, _ = self.run(f"{before}{edit.prompt} {edit.target}", last, end, delta)
                answer = [
                    -logits[t - 1].log_softmax(0)[ids[t]] for t in range(len(prompt), len(ids))
                ]
                losses.append(torch.stack(answer).mean())
            logits, _, _ = self.run(neutral, last, neutral_end, delta)
            loss = torch.stack(losses).mean()
            loss = loss + memit.kl_factor * self.divergence(
                unedited, logits[neutral_end].log_softmax(0)
            )
            loss = loss + memit.weight_decay * delta.norm() / h.norm() ** 2
            if loss.item() < 0.05:  # the authors' code
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            taken += 1
            with torch.no_grad():
                if delta.norm() > memit.clamp * h.norm():
                    delta.mul_(memit.clamp * h.norm() / delta.norm())
        return h + delta.detach(), taken

    def divergence(self, unedited: Tensor, edited: Tensor) -> Tensor:
        """KL(edited || unedited) of log-probabilities: ROME, equation 4, and the authors' code."""
        return torch.stack([p.exp() * (p - q) for p, q in zip(edited, unedited, strict=True)]).sum()


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference()


@pytest.fixture(scope="module")
def edits() -> tuple[Edit, ...]:
    """The testbed's, of which the third has a target of many tokens."""
    first, second, third, *others = bed.testbed().edits
    return first, second, dataclasses.replace(third, target="the old mill by the river"), *others


def relative(ours: Tensor, theirs: Tensor) -> float:
    return float((ours.double() - theirs).norm() / theirs.norm())


# the closed form: MEMIT, equation 14


@pytest.mark.parametrize(
    ("inputs", "count", "covariance"), [(24, 1, 10.0), (24, 7, 0.5), (24, 60, 15000.0)]
)
def test_the_update_is_equation_14(inputs: int, count: int, covariance: float) -> None:
    generator = torch.Generator().manual_seed(count)
    corpus = torch.randn(300, inputs, generator=generator)
    moment = corpus.T @ corpus / 300
    keys, missing = (
        torch.randn(inputs, count, generator=generator),
        torch.randn(count, 11, generator=generator),
    )
    ours = update(missing, keys, moment, covariance)
    assert ours.shape == (11, inputs)
    c, k, r = covariance * moment.double(), keys.double(), missing.double().T
    explicit = r @ k.T @ torch.linalg.inv(c + k @ k.T)
    assert relative(ours, explicit) < 1e-10
    inverse = torch.linalg.inv(c)  # Woodbury: K'(A + K K')^-1 = (1 + K' A^-1 K)^-1 K' A^-1
    woodbury = (
        r
        @ torch.linalg.inv(torch.eye(count, dtype=torch.float64) + k.T @ inverse @ k)
        @ k.T
        @ inverse
    )
    assert relative(ours, woodbury) < 1e-10
    # what the closed form minimizes, covariance E ||change k_0||^2 + sum ||change k - r||^2, is stationary there
    gradient = ours @ c + (ours @ k - r) @ k.T
    assert gradient.abs().max() < 1e-10 * (r @ k.T).abs().max()


def test_inputs_that_are_always_0_as_in_a_pruned_model_change_nothing_else() -> None:
    generator = torch.Generator().manual_seed(0)
    corpus, keys = (
        torch.randn(300, 24, generator=generator),
        torch.randn(24, 5, generator=generator),
    )
    missing, seen = torch.randn(5, 11, generator=generator), torch.arange(24) % 4 > 0
    corpus[:, ~seen], keys[~seen] = 0, 0
    change = update(missing, keys, corpus.T @ corpus / 300, 10.0)
    alone = corpus[:, seen]
    assert (
        relative(change[:, seen], update(missing, keys[seen], alone.T @ alone / 300, 10.0)) < 1e-9
    )
    assert (change[:, ~seen] == 0).all()


@pytest.fixture(scope="module")
def moments(reference: Reference, data: Data) -> dict[int, Tensor]:
    """Enough texts that no direction of the keys is without any: fewer leave a matrix that rounding decides."""
    return reference.moments(data.statistics[:TEXTS], (0, 1, 3))


@pytest.mark.parametrize("prefixes", [0, 2])
def test_the_weights_change_as_algorithm_1_says(
    lm: LM,
    small: Data,
    data: Data,
    moments: dict[int, Tensor],
    monkeypatch: pytest.MonkeyPatch,
    prefixes: int,
) -> None:
    """Reference: MEMIT, algorithm 1, layer after layer, given the targets; K is the mean over prefixes, equation 19."""
    memit = MEMIT(
        layers=(3, 0, 1),
        steps=4,
        lr=0.5,
        covariance=3.0,
        samples=TEXTS,
        prefixes=prefixes,
        prefix_tokens=5,
    )
    small = dataclasses.replace(small, statistics=data.statistics)
    drawn: list[list[str]] = []
    own = MEMIT._prefixes

    def noted(self: MEMIT, lm: LM) -> list[str]:
        drawn.append(own(self, lm))
        return drawn[-1]

    monkeypatch.setattr(MEMIT, "_prefixes", noted)
    edited = apply(memit, lm, small, KEY)
    (befores,) = drawn
    assert len(set(befores)) == len(befores) == prefixes + 1
    assert befores[0] == "" and all(before.endswith(". ") for before in befores[1:])

    plain, base = Reference(), Reference()
    wanted = memit.targets(LM.load(MODEL), small.edits, befores).double()
    with torch.no_grad():
        for layers_left, layer in ((3, 0), (2, 1), (1, 3)):
            keys, missing = [], []
            for edit, z in zip(small.edits, wanted, strict=True):
                at_prefixes = []
                for before in befores:
                    end = plain.subject_end(before, edit)
                    at_prefixes.append(plain.run(before + edit.prompt, layer)[1][end])
                keys.append(torch.stack(at_prefixes).mean(0))
                h = plain.run(edit.prompt, 3)[2][plain.subject_end("", edit)]
                missing.append((z - h) / layers_left)
            k, r = torch.stack(keys, dim=1), torch.stack(missing, dim=1)
            change = r @ k.T @ torch.linalg.inv(3.0 * moments[layer] + k @ k.T)
            plain.blocks[layer].mlp.down_proj.weight += change

    for name, weight in edited.model.state_dict().items():
        before = base.model.state_dict()[name]
        if name in {f"model.layers.{layer}.mlp.down_proj.weight" for layer in (0, 1, 3)}:
            assert (
                relative(weight.double() - before, plain.model.state_dict()[name] - before) < 1e-4
            ), name
        else:
            assert torch.equal(weight.double(), before), name


def test_one_layer_alone_takes_all_that_is_missing(
    lm: LM, small: Data, reference: Reference
) -> None:
    """MEMIT, equation 14: with hardly any weight on old memories, the subjects' states are the targets."""
    memit = MEMIT(layers=(2,), steps=3, lr=0.5, covariance=1e-7, samples=32)
    wanted = memit.targets(LM.load(MODEL), small.edits)
    edited = apply(memit, lm, small, KEY)
    for edit, z in zip(small.edits, wanted, strict=True):
        end = reference.subject_end("", edit)
        with torch.no_grad():
            outputs = edited.model(
                **edited.encode([edit.prompt]), output_hidden_states=True
            ).hidden_states
        torch.testing.assert_close(outputs[3][0, end], z, atol=1e-2, rtol=1e-3)


def test_the_targets_change_nothing_in_the_model(
    lm: LM, small: Data, weights: Callable[[LM], Any]
) -> None:
    before = weights(lm)
    wanted = MEMIT(steps=3).targets(lm, small.edits)
    assert wanted.dtype == torch.float32 and not wanted.requires_grad
    assert all(torch.equal(tensor, before[name]) for name, tensor in lm.model.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in lm.model.parameters())


# the targets: MEMIT, equation 16, with the terms of ROME, equation 4


@pytest.mark.parametrize(
    "memit",
    [
        MEMIT(layers=(1, 2), steps=12, lr=0.2),
        MEMIT(layers=(3,), steps=6, lr=0.5, kl_factor=2.0, weight_decay=50.0),
        MEMIT(layers=(0,), steps=8, lr=0.5, clamp=0.1),
    ],
    ids=["defaults", "divergence-and-decay", "clamped"],
)
def test_targets_are_those_of_a_plain_optimization(
    lm: LM, edits: tuple[Edit, ...], reference: Reference, memit: MEMIT
) -> None:
    ours = memit.targets(lm, edits[1:3])[1]
    theirs, _ = reference.target(memit, edits[2])
    assert len(reference.ids(edits[2].target)) > 3 + len(reference.ids(edits[1].target))
    assert (ours.double() - theirs).abs().max() < 1e-3
    if memit.kl_factor > 1:  # what the comparison above can tell
        for without in (
            dataclasses.replace(memit, kl_factor=0.0),
            dataclasses.replace(memit, weight_decay=0.0),
        ):
            assert (reference.target(without, edits[2])[0] - theirs).abs().max() > 1e-2
    if memit.clamp < 1:
        h = MEMIT(layers=memit.layers, steps=1).targets(lm, [edits[2]])[0]
        assert (ours - h).norm().item() == pytest.approx(0.1 * h.norm().item(), rel=1e-4)


def test_targets_behind_prefixes_are_those_of_a_plain_optimization(
    lm: LM, edits: tuple[Edit, ...], reference: Reference
) -> None:
    memit, edit = MEMIT(layers=(2,), steps=6, lr=0.5), edits[1]
    befores = [
        "",
        "The river was quiet. ",
        f"I saw {edit.subject} near the mill. ",
    ]  # the last names the subject
    ours = memit.targets(lm, [edits[0], edit], befores)[1]
    theirs, _ = reference.target(memit, edit, befores)
    assert (ours.double() - theirs).abs().max() < 1e-3
    ends = [reference.subject_end(before, edit) for before in befores]
    ends[2] = (
        len(reference.ids(f"I saw {edit.subject}")) - 1
    )  # the prefix's own mention would be told from it
    assert (reference.target(memit, edit, befores, ends)[0] - theirs).abs().max() > 1e-2
    assert (reference.target(memit, edit)[0] - theirs).abs().max() > 1e-2


@pytest.mark.parametrize("befores", [("",), ("", "At night. ")])
def test_edits_optimized_together_are_those_optimized_alone_also_when_some_are_done_early(
    lm: LM, edits: tuple[Edit, ...], reference: Reference, befores: tuple[str, ...]
) -> None:
    memit = MEMIT(layers=(1, 2), steps=20, lr=1.0, clamp=1.5)
    some = edits[:6]
    together = memit.targets(lm, some, befores)
    for edit, z in zip(some, together, strict=True):
        assert (memit.targets(lm, [edit], befores)[0] - z).abs().max() < 1e-3
    shorter = dataclasses.replace(memit, steps=18).targets(lm, some, befores)
    done = (shorter - together).abs().amax(1) == 0  # two steps more change nothing
    assert 0 < done.sum() < len(some)
    early = int(done.nonzero()[0])
    theirs, taken = reference.target(memit, some[early], befores)
    assert taken < 18
    assert (together[early].double() - theirs).abs().max() < 1e-3


# the subject's last token


@pytest.mark.parametrize(
    "prompt",
    [
        "Question: How does {} earn a living?\nAnswer:",
        "{} works for",
        "The employer of {} is",
        "Who employs {}?",
        "In the morning, {}, who waited by the river, slept near",
        "The mill belongs to {}",
    ],
)
def test_the_state_is_taken_at_the_subjects_last_token(
    lm: LM, edits: tuple[Edit, ...], reference: Reference, prompt: str
) -> None:
    """With one step nothing is optimized: the targets are the states themselves, as a plain pass shows them."""
    asked = [dataclasses.replace(edit, prompt=prompt.format(edit.subject)) for edit in edits[:6]]
    ours = MEMIT(layers=(1,), steps=1).targets(lm, asked)
    behind = MEMIT(layers=(1,), steps=1).targets(
        lm, asked, ["", f"The guard left {edits[0].subject}. "]
    )
    assert torch.allclose(ours, behind, atol=1e-4)  # h_i is that of the bare prompt
    for edit, h in zip(asked, ours, strict=True):
        with torch.no_grad():
            hidden = reference.run(edit.prompt, 1)[2]
        assert (hidden - h.double()).abs().amax(1).argmin() == reference.subject_end("", edit)
        torch.testing.assert_close(
            h.double(), hidden[reference.subject_end("", edit)], atol=1e-3, rtol=1e-5
        )


def test_prefixes_are_the_models_own_texts_and_follow_the_seed(lm: LM, small: Data) -> None:
    memit = MEMIT(layers=(1,), steps=2, samples=8, prefixes=2)
    one, again, other = (
        apply(memit, LM.load(MODEL), small, key).fingerprint() for key in (KEY, KEY, "ab" * 16)
    )
    assert one == again != other
    assert (
        other != apply(dataclasses.replace(memit, prefixes=0), lm, small, "ab" * 16).fingerprint()
    )


def test_a_prefix_goes_on_from_its_start_and_not_from_padding(
    lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first token of a prefix is drawn from what the model says after its start alone, unpadded."""
    ends: list[Tensor] = []
    generate = type(lm.model).generate

    def spied(self: Any, *args: Any, **kwargs: Any) -> Any:
        ends.append(kwargs["attention_mask"][:, -1])
        return generate(self, *args, **kwargs)

    monkeypatch.setattr(type(lm.model), "generate", spied)
    apply(MEMIT(layers=(1,), steps=1, samples=8, prefixes=5), lm, small, KEY)
    assert torch.cat(ends).bool().all()


# second moments: MEMIT, section 4.3


@pytest.fixture
def statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where they are kept, empty at first."""
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(tmp_path))
    return tmp_path / "statistics"


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry per forward pass of a model of the testbed's class."""
    made: list[object] = []
    forward = LlamaForCausalLM.forward

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        made.append(self)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(LlamaForCausalLM, "forward", counted)
    return made


def files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_second_moments_are_those_of_single_texts(
    lm: LM, small: Data, reference: Reference, statistics: Path
) -> None:
    texts = [
        *small.statistics,
        " ".join(small.test_text),
    ]  # of unlike lengths: there is padding, and two batches
    assert len(texts) > 32
    ours = second_moments(lm, texts, (4, 1))
    assert set(ours) == {1, 4}
    for layer, moment in reference.moments(texts, (1, 4)).items():
        assert relative(ours[layer], moment) < 1e-6


def test_second_moments_are_kept_and_used_again_without_a_pass(
    lm: LM, small: Data, statistics: Path, passes: list[object]
) -> None:
    first = second_moments(lm, small.statistics, (1, 2))
    assert len(files(statistics)) == 2 and len(passes) == 1
    again = second_moments(LM.load(MODEL), small.statistics, (2, 1))
    assert len(passes) == 1
    assert all(torch.equal(again[layer], moment) for layer, moment in first.items())
    third = second_moments(lm, small.statistics, (1, 3))[3]  # only what is missing is computed
    assert len(passes) == 2 and len(files(statistics)) == 3
    alone = second_moments(lm, small.statistics, (3,))[3]
    assert len(passes) == 2 and torch.equal(alone, third)


def test_a_second_edit_batch_takes_no_pass_for_second_moments(
    lm: LM, small: Data, statistics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memit = MEMIT(layers=(1, 2), steps=1, samples=8)
    apply(memit, lm, small, KEY)
    kept = files(statistics)
    monkeypatch.setattr("interventions.editing.second_moments._compute", None)
    apply(
        memit, LM.load(MODEL), dataclasses.replace(small, edits=bed.testbed(1).edits[:2]), "ab" * 16
    )
    assert files(statistics) == kept


def flipped(place: int) -> Callable[[bytes], bytes]:
    return lambda good: good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(flipped(0), id="header length"),
        pytest.param(flipped(8), id="header's brace"),
        pytest.param(flipped(40), id="checksum"),
        pytest.param(flipped(300), id="values"),
        pytest.param(lambda good: flipped(len(good) - 1)(good), id="last byte"),
        pytest.param(lambda good: good[:-1], id="a byte short"),
        pytest.param(lambda good: good[: len(good) // 2], id="half"),
        pytest.param(lambda good: good[:5], id="five bytes"),
        pytest.param(lambda good: b"", id="empty"),
        pytest.param(lambda good: good.replace(b'"F32"', b'"I32"'), id="dtype"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_computed_again_with_a_warning(
    lm: LM, small: Data, statistics: Path, damage: Callable[[bytes], bytes]
) -> None:
    texts = small.statistics[:4]
    good = second_moments(lm, texts, (0,))[0]
    (file,) = statistics.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert file.read_bytes() != whole
    with pytest.warns(UserWarning, match="second moments .* are damaged: computed again"):
        again = second_moments(lm, texts, (0,))[0]
    assert torch.equal(again, good)
    assert file.read_bytes() == whole
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(second_moments(lm, texts, (0,))[0], good)


def test_the_key_is_of_the_weights_up_to_the_layer_the_texts_and_the_layer(
    lm: LM, small: Data, statistics: Path
) -> None:
    def new(lm: LM, texts: Sequence[str], layer: int) -> bool:
        known = files(statistics)
        second_moments(lm, texts, (layer,))
        return files(statistics) != known

    def nudge(weight: Tensor) -> None:
        with torch.no_grad():
            weight.view(-1)[7] += 1e-3

    statistics.mkdir()
    texts, model = list(small.statistics[:4]), lm.model.model
    assert new(lm, texts, 2) and not new(lm, texts, 2)
    assert new(lm, texts, 1)
    assert new(lm, texts[:3], 2) and new(lm, [*texts[:3], texts[3] + " "], 2)
    assert new(lm, [texts[0] + texts[1], *texts[2:]], 2) and new(
        lm, [texts[0], texts[1] + texts[2], texts[3]], 2
    )
    nudge(model.layers[3].mlp.down_proj.weight)  # what comes after the layer does not enter
    assert not new(lm, texts, 2)
    for weight in (
        model.embed_tokens.weight, model.layers[0].self_attn.q_proj.weight, model.layers[1].input_layernorm.weight,
        model.layers[2].mlp.gate_proj.weight,
    ):  # fmt: skip
        nudge(weight)
        assert new(lm, texts, 2)
    assert not new(LM.load(MODEL), texts, 2)  # the first ones are still there
    assert new(LM.load(MODEL, dtype="bfloat16"), texts, 2)


def test_the_key_is_of_everything_before_the_layer(lm: LM, small: Data, statistics: Path) -> None:
    """A tiny random GPT-Neo learns its positions: with others, other inputs reach the layer."""
    torch.manual_seed(0)
    shape: dict[str, Any] = {"hidden_size": 16, "num_layers": 2, "num_heads": 2}
    attention: dict[str, Any] = {
        "attention_types": [[["global"], 2]],
        "max_position_embeddings": 128,
    }
    model = (
        GPTNeoForCausalLM(GPTNeoConfig(vocab_size=2560, **shape, **attention))
        .eval()
        .requires_grad_(False)
    )
    neo = LM(model, lm.tokenizer)
    first = second_moments(neo, small.statistics[:4], (1,))[1]
    model.transformer.wpe.weight.mul_(30)
    assert not torch.equal(second_moments(neo, small.statistics[:4], (1,))[1], first)


# passes that start or end at a layer


def gpt2() -> Any:
    shape = {"n_layer": 3, "n_head": 2, "n_embd": 16, "n_positions": 32, "vocab_size": 50}
    return GPT2LMHeadModel(GPT2Config(bos_token_id=0, eos_token_id=0, **shape))


def qwen2() -> Any:
    shape = {
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "hidden_size": 16,
    }
    windows = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}
    return Qwen2ForCausalLM(Qwen2Config(intermediate_size=24, vocab_size=50, **windows, **shape))


def llama() -> Any:
    shape = {
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "hidden_size": 16,
    }
    return LlamaForCausalLM(LlamaConfig(intermediate_size=24, vocab_size=50, **shape))


MODELS = {"gpt2": gpt2, "qwen2": qwen2, "llama": llama}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    """A tiny random model in float64."""
    torch.manual_seed(0)
    return MODELS[request.param]().double().eval().requires_grad_(False)


@pytest.fixture
def encoded() -> dict[str, Tensor]:
    """Three rows of 9, 6 and 2 tokens, padded on the right."""
    ids = torch.randint(1, 50, (3, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.tensor([[1] * 9, [1] * 6 + [0] * 3, [1] * 2 + [0] * 7])
    return {"input_ids": ids, "attention_mask": mask}


def decoder_blocks(model: Any) -> Any:
    return model.transformer.h if hasattr(model, "transformer") else model.model.layers


@contextmanager
def shifted(block: nn.Module, shift: Tensor) -> Iterator[None]:
    """While open, the block's output is shifted."""

    def add(module: nn.Module, args: object, output: Any) -> Any:
        return (output[0] + shift, *output[1:]) if isinstance(output, tuple) else output + shift

    handle = block.register_forward_hook(add)
    yield
    handle.remove()


def wiring(model: nn.Module) -> list[tuple[str, bool, int, int]]:
    """By module: whether it has a forward of its own, not its class's; how many hooks before and after it."""
    return [
        (
            name,
            "forward" in vars(module),
            len(module._forward_pre_hooks),
            len(module._forward_hooks),
        )
        for name, module in model.named_modules()
    ]


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_pass_taken_up_at_a_layer_is_the_plain_pass(
    model: Any, encoded: dict[str, Tensor], layer: int
) -> None:
    """Reference: whole passes with a hook that shifts the block's output; logits and gradients, in float64."""
    real = encoded["attention_mask"].bool()
    plain = model(**encoded, output_hidden_states=True)
    before = wiring(model)  # transformers' own hooks for the line above stay
    hidden, rest = split(model, encoded, layer)
    if layer < 2:
        torch.testing.assert_close(hidden[real], plain.hidden_states[layer + 1][real])
    torch.testing.assert_close(rest(hidden)[real], plain.logits[real])

    generator = torch.Generator().manual_seed(2)
    shift = torch.randn(hidden.shape, generator=generator, dtype=torch.float64)
    direction = (
        torch.randn(plain.logits.shape, generator=generator, dtype=torch.float64) * real[..., None]
    )
    changed = (hidden + shift).requires_grad_()
    ours = rest(changed)
    (ours * direction).sum().backward()
    shift.requires_grad_()
    with shifted(decoder_blocks(model)[layer], shift):
        theirs = model(**encoded).logits
    (theirs * direction).sum().backward()
    torch.testing.assert_close(ours[real], theirs[real])
    assert changed.grad is not None and shift.grad is not None
    assert shift.grad[real].abs().max() > 1e-6
    torch.testing.assert_close(changed.grad[real], shift.grad[real])

    torch.testing.assert_close(
        rest(hidden)[real], plain.logits[real]
    )  # once more: nothing of the call before is left
    places = (
        torch.tensor([2, 0, 1, 0, 0]),
        torch.tensor([1, 8, 5, 0, 8]),
    )  # rows, positions: out of order, one twice
    again = (hidden + shift).detach().requires_grad_()
    picked = rest(again, places)
    torch.testing.assert_close(picked, theirs[places])
    (picked * direction[places]).sum().backward()
    shift.grad = None
    with shifted(decoder_blocks(model)[layer], shift):
        (model(**encoded).logits[places] * direction[places]).sum().backward()
    assert again.grad is not None and shift.grad is not None
    torch.testing.assert_close(again.grad[real], shift.grad[real])
    assert wiring(model) == before
    assert torch.equal(model(**encoded).logits, plain.logits)


def test_a_pass_taken_up_at_a_layer_runs_only_what_comes_after(
    model: Any, encoded: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(decoder_blocks(model)[0])
    forward, ran = kind.forward, list[nn.Module]()

    def noted(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        ran.append(self)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(kind, "forward", noted)
    hidden, rest = split(model, encoded, 1)
    assert ran == list(decoder_blocks(model)[:2])
    rest(hidden)
    rest(hidden)
    assert ran[2:] == 2 * list(decoder_blocks(model)[2:])
    ran.clear()
    hidden_states(model, encoded, 0)
    assert ran == list(decoder_blocks(model)[:1])


def test_a_pass_that_fails_leaves_the_blocks_as_they_were(
    model: Any, encoded: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, logits = wiring(model), model(**encoded).logits
    hidden, rest = split(model, encoded, 1)
    last = decoder_blocks(model)[2]
    with monkeypatch.context() as patch:
        patch.setattr(last, "forward", raising)
        for places in (None, (torch.tensor([0]), torch.tensor([1]))):
            with pytest.raises(ZeroDivisionError):
                rest(hidden, places)
        with pytest.raises(ZeroDivisionError):
            split(model, encoded, 2)
    assert wiring(model) == before
    assert torch.equal(model(**encoded).logits, logits)


def test_a_block_keeps_a_forward_of_its_own(encoded: dict[str, Tensor]) -> None:
    model = llama().double().eval()
    own = model.model.layers[0].forward
    calls: list[int] = []

    def noted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return own(*args, **kwargs)

    model.model.layers[0].forward = noted
    hidden, rest = split(model, encoded, 1)
    rest(hidden)
    model(**encoded)
    assert len(calls) == 2


def raising(*args: object, **kwargs: object) -> None:
    raise ZeroDivisionError("must not run")


def test_hidden_states_are_those_that_the_model_gives_out(
    model: Any, encoded: dict[str, Tensor]
) -> None:
    """Reference: transformers' own ``output_hidden_states``, of which the last has passed the final norm."""
    outputs = model(**encoded, output_hidden_states=True).hidden_states
    real = encoded["attention_mask"].bool()
    for layer in (0, 1):
        torch.testing.assert_close(
            hidden_states(model, encoded, layer)[real], outputs[layer + 1][real]
        )
    norm = model.transformer.ln_f if hasattr(model, "transformer") else model.model.norm
    torch.testing.assert_close(norm(hidden_states(model, encoded, 2))[real], outputs[3][real])


# input


@pytest.mark.parametrize(
    ("layers", "named"),
    [((6,), 6), ((1, 9), 9), ((-1, 2), -1)],
    ids=["one too many", "far", "negative"],
)
def test_a_layer_that_the_model_lacks_is_named_before_anything_is_loaded(
    layers: tuple[int, ...], named: int
) -> None:
    model = skeleton(MODEL)
    assert {p.device.type for p in model.parameters()} == {"meta"}
    with pytest.raises(
        InvalidInput, match=rf"^memit.layers names layer {named}, but the model has layers 0 to 5$"
    ):
        MEMIT(layers=layers).check(model)
    MEMIT(layers=(0, 5)).check(model)


@pytest.mark.parametrize(
    "given",
    [
        {"layers": ()}, {"layers": (1.5,)}, {"steps": 0}, {"lr": 0.0}, {"covariance": 0.0}, {"samples": 0},
        {"clamp": 0.0}, {"prefixes": -1}, {"prefix_tokens": 0}, {"kl_factor": -1.0}, {"weight_decay": -1.0},
    ],
    ids=str,
)  # fmt: skip
def test_values_out_of_range_are_refused(given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(InvalidInput, match=f"memit.{name} must be"):
        MEMIT(**given)


def test_a_layer_named_twice_is_refused_or_edited_once(lm: LM, small: Data) -> None:
    memit = MEMIT(layers=(1,), steps=2, samples=8)
    once = apply(memit, lm, small, KEY).fingerprint()
    try:
        twice = dataclasses.replace(memit, layers=(1, 1))
        twice.check(skeleton(MODEL))
    except InvalidInput:
        return
    assert apply(twice, LM.load(MODEL), small, KEY).fingerprint() == once
