"""Prompts as chats: what a template puts around them, against transformers' own rendering."""

import dataclasses
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerBase

from interventions import prompt_format
from interventions.answers import continuations, greedy_answers
from interventions.base import make
from interventions.chat_renderer import rendered_chats
from interventions.composition import apply
from interventions.criteria.base import measure
from interventions.data import testbed as bed
from interventions.data.base import Data, Edit
from interventions.data.own.answers import check_answers
from interventions.data.testbed import MODEL
from interventions.editing.prompts import EditPrompts, edit_slices
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.prompt_format import PLAIN, PromptFormat, read_prompt_format
from interventions.tokenizer import load_tokenizer
from tests.anatomies.zoo import build

TEMPLATES = {
    "chatml": (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n'"
        " + message['content'] + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "llama-2": (
        "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
        "{{ '[INST] ' + message['content'].strip() + ' [/INST]' }}"
        "{% else %}{{ ' ' + message['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
    ),
    "gemma": (
        "{{ bos_token }}{% for message in messages %}{{ '<start_of_turn>'"
        " + ('model' if message['role'] == 'assistant' else message['role']) + '\n'"
        " + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
    ),
}
PROMPTS = ["The capital of Vesk is", "Which?\nA. x\nB. y\nAnswer:", "  {{ 1 }} <|im_end|> é"]
FAMILIES = {"llama": ["chatml", "llama-2"], "gemma1": ["gemma"], "gpt2": ["chatml"]}
CASES = [(family, name) for family, names in FAMILIES.items() for name in names]


@pytest.fixture
def own_process() -> None:
    """Render in a process of its own, as users' templates are; it takes a second to start."""


@pytest.fixture(autouse=True)
def _quickly(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Render in the process of the tests, but for those of the other one."""
    prompt_format._chat_format.cache_clear()
    if "own_process" not in request.fixturenames:
        monkeypatch.setattr(prompt_format, "_answer_of_process", rendered_chats)


def tokenizer(family: str, template: str, folder: Path) -> PreTrainedTokenizerBase:
    known = load_tokenizer(build(family, folder))
    known.chat_template = TEMPLATES[template]
    return known


@pytest.mark.parametrize(("family", "template"), CASES)
def test_a_context_is_what_transformers_makes_of_a_chat(
    family: str, template: str, tmp_path: Path
) -> None:
    known = tokenizer(family, template, tmp_path)
    chat = read_prompt_format("chat", known)
    for prompt in PROMPTS:
        messages = [{"role": "user", "content": prompt}]
        rendered = known.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        assert chat.context(prompt) == rendered
        ids = known.apply_chat_template(
            messages, tokenize=True, add_generation_prompt=True, return_dict=False
        )
        (encoded,) = continuations(known, [(prompt, "Orlo")], chat)
        assert encoded.prompt == ids[: len(encoded.prompt)]
        assert ids.count(known.bos_token_id) <= 1
        assert known.decode(encoded.answer).strip() == "Orlo"


@pytest.mark.parametrize(("family", "template"), CASES)
def test_an_answer_goes_on_as_the_template_writes_a_reply(
    family: str, template: str, tmp_path: Path
) -> None:
    known = tokenizer(family, template, tmp_path)
    chat = read_prompt_format("chat", known)
    turns = [{"role": "user", "content": PROMPTS[0]}, {"role": "assistant", "content": "Orlo"}]
    whole = known.apply_chat_template(turns, tokenize=False)
    assert whole.startswith("".join(chat.pair(PROMPTS[0], " Orlo")))


@pytest.mark.parametrize("template", ["chatml", "llama-2"])
def test_the_labels_of_an_edit_are_its_answers_tokens(template: str, lm: LM) -> None:
    lm.tokenizer.chat_template = TEMPLATES[template]
    lm.prompt_format = read_prompt_format("chat", lm.tokenizer)
    edit = bed.testbed().edits[0]
    encoded, labels = lm.encode_pairs([(edit.prompt, f" {edit.target}")])
    text = lm.tokenizer.decode(labels[0][labels[0] != -100])
    assert text.strip() == edit.target
    whole = "".join(lm.prompt_format.pair(edit.prompt, f" {edit.target}"))
    assert encoded["input_ids"][0].tolist() == lm.tokenizer.encode(whole, add_special_tokens=False)
    (generated,) = continuations(lm.tokenizer, [(edit.prompt, edit.target)], lm.prompt_format)
    assert generated.answer == labels[0][labels[0] != -100].tolist()
    assert len(greedy_answers(lm, [generated])[0]) <= len(generated.answer)


@pytest.mark.parametrize("template", ["chatml", "llama-2"])
@pytest.mark.parametrize("prefix", ["", "user\n", " Ann. "])
def test_the_subject_is_found_within_a_chat(template: str, prefix: str, lm: LM) -> None:
    """Its last token, also where the template or a prefix has the same words."""
    lm.tokenizer.chat_template = TEMPLATES[template]
    lm.prompt_format = read_prompt_format("chat", lm.tokenizer)
    edits = [
        dataclasses.replace(edit, subject="user", prompt="The user of Ann is")
        for edit in bed.testbed().edits[:2]
    ]
    edits.append(Edit("Ann", "The daughter of Annie's friend Ann is", "Bea", "Cat", ()))
    prompts = EditPrompts(lm, edits, [prefix], answers=True)
    ids = prompts.encoded["input_ids"]
    for row, edit in enumerate(edits):
        position = int(prompts.subjects[1][row])
        read = lm.tokenizer.decode(ids[row][: position + 1])
        behind = edit.prompt[: edit.prompt.rindex(edit.subject) + len(edit.subject)]
        assert read.endswith(f"{prefix.lstrip() if lm.prompt_format.trims else prefix}{behind}")
    assert edit_slices(lm, edits, [prefix])[-1].stop == len(edits)


def test_plain_prompts_are_as_they_were(lm: LM) -> None:
    assert lm.prompt_format == PLAIN and PLAIN.identity == []
    assert read_prompt_format("plain", lm.tokenizer) is PLAIN
    encoded, _ = lm.encode_pairs([("The capital of Vesk is", " Orlo")])
    assert torch.equal(
        encoded["input_ids"], lm.encode(["The capital of Vesk is Orlo"])["input_ids"]
    )
    assert PLAIN.place("abc", 2) == 2


def test_an_answer_ends_where_the_turn_does(lm: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    end = lm.tokenizer.eos_token_id
    lm.prompt_format = PromptFormat("chat", "a", "b", adds_special_tokens=False)
    (target,) = continuations(lm.tokenizer, [("x", "Orlo Vint Kest")], lm.prompt_format)
    monkeypatch.setattr("interventions.answers._generated", lambda *both: [[7, end, 8, 9]])
    assert greedy_answers(lm, [target]) == [[7]]
    lm.prompt_format = PLAIN
    assert greedy_answers(lm, [target]) == [[7, 8, 9][: len(target.answer) - 1]]


def test_an_answer_that_is_nothing_to_the_tokenizer_is_refused_in_a_chat_too(lm: LM) -> None:
    data = dataclasses.replace(bed.testbed(), edits=(Edit("a", "a is", " ", "b", ()),), locality=())
    chat = PromptFormat("chat", "<", ">", gap="", adds_special_tokens=False)
    with pytest.raises(InvalidInput, match="the target of edit 1"):
        check_answers(data, lm.tokenizer, "ours", chat)


@pytest.mark.parametrize("step", ["ft", "lora"])
def test_edits_are_learned_and_measured_as_chats(step: str, lm: LM, small: Data) -> None:
    lm.tokenizer.chat_template = TEMPLATES["llama-2"]
    lm.prompt_format = read_prompt_format("chat", lm.tokenizer)

    def success(model: LM) -> float:
        return measure(model, small, ["edit_success"])["edit_success"].value

    before = success(lm)
    edited = apply(make(step), lm, small, "0123456789abcdef" * 2)
    assert edited.prompt_format.name == "chat"
    assert before < 0.5 and success(edited) == 1
    edited.prompt_format = PLAIN  # as which they were never learned
    assert success(edited) < 1


@pytest.mark.parametrize("step", ["ft", "memit"])
def test_a_chat_that_reads_as_plain_prompts_do_gives_equal_weights(
    step: str, lm: LM, small: Data
) -> None:
    few = {key: 3 for key in ("steps", "samples") if key in make(step).params()}
    plain = apply(make(step, **few), LM.load(MODEL), small, "0123456789abcdef" * 2)
    lm.tokenizer.chat_template = (
        "{{ bos_token }}{% for message in messages %}"
        "{{ (' ' if message['role'] == 'assistant') ~ message['content'] }}{% endfor %}"
    )
    lm.prompt_format = read_prompt_format("chat", lm.tokenizer)
    chat = apply(make(step, **few), lm, small, "0123456789abcdef" * 2)
    assert chat.fingerprint() == plain.fingerprint() != LM.load(MODEL).fingerprint()


# templates that are refused


def refusal(template: object, monkeypatch: pytest.MonkeyPatch) -> str:
    known = load_tokenizer(MODEL)
    monkeypatch.setattr(known, "chat_template", template)
    with pytest.raises(InvalidInput) as error:
        read_prompt_format("chat", known)
    text = str(error.value)
    assert "\n" not in text and len(text) <= 390
    return text


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (
            "{% for m in messages %}{{ m.content | upper }}{% endfor %}",
            "does not repeat what the user",
        ),
        ("{% for m in messages * 2 %}{{ m.content }}{% endfor %}", "does not repeat what the user"),
        (
            "{% for m in messages %}{{ 'X' if 'vesk' in m.content }}{{ m.content }}{% endfor %}",
            "puts other texts around other prompts",
        ),
        ("{% for m in messages %}{{ m.content.rstrip() }}{% endfor %}", "takes some blanks"),
        ("{{ raise_exception('no user') }}", "cannot be rendered: TemplateError: no user"),
        ("{% for", "cannot be rendered: TemplateSyntaxError"),
        ("{{ ''.__class__.__mro__ }}", "cannot be rendered: SecurityError"),
        ("{{ 'a' * 300000 }}", "it makes over 262144 characters of a prompt"),
        (
            "{% for m in messages %}{{ m.content + 'a' * 70000 }}{% endfor %}",
            "puts over 65536 characters around a prompt",
        ),
        ("a" * (2**20 + 1), "is no text of at most 1048576 characters"),
    ],
)
def test_a_template_that_does_more_than_to_frame_a_prompt_is_refused(
    template: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert words in refusal(template, monkeypatch)


@pytest.mark.usefixtures("own_process")
@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ 'a' * 10000000000 }}", "cannot be rendered: MemoryError"),
        (
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
            "cannot be rendered: it takes too long",
        ),
    ],
)
def test_a_template_that_takes_all_memory_or_never_ends_is_given_up(
    template: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert words in refusal(template, monkeypatch)


def test_without_a_template_or_with_several_the_line_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = refusal(None, monkeypatch)
    assert "has none; use prompt_format=plain, as for a base model" in text
    several = {"tool_use": "a", "rag": "b"}
    assert "has several, none of them 'default'" in refusal(several, monkeypatch)


def test_the_default_of_several_templates_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    known = load_tokenizer(MODEL)
    templates = {"default": TEMPLATES["chatml"], "tool_use": "a"}
    monkeypatch.setattr(known, "chat_template", templates)
    assert read_prompt_format("chat", known).before == "<|im_start|>user\n"


@pytest.mark.usefixtures("own_process")
def test_a_template_that_asks_for_todays_date_gets_the_same_every_day() -> None:
    known = load_tokenizer(MODEL)
    known.chat_template = (
        "{{ strftime_now('%d %b %Y') }}{% for m in messages %}|{{ m.content }}{% endfor %}"
    )
    assert read_prompt_format("chat", known).before == "26 Jul 2024|"


def test_a_template_is_rendered_once_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    known = load_tokenizer(MODEL)
    known.chat_template = TEMPLATES["chatml"]
    first = read_prompt_format("chat", known)
    monkeypatch.setattr(prompt_format, "_answer_of_process", lambda request: 1 / 0)
    assert read_prompt_format("chat", known) is first
