"""What the project itself says comes through unchanged, and no text takes for ever."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interventions.masking import has_secret, without_secrets

ROOT = Path(__file__).resolve().parents[2]

ORDINARY = [
    "lora(rank=8) | wanda(sparsity=0.25)",
    "ft; wanda(sparsity=[0.25, 0.35])",
    "memit(token='subject_last', layers=(3, 4)) | rmu(steps=100)",
    "memit(layers=(3, 4), token='subject_last')",
    "ft(tokens=512) | ga(max_tokens=32)",
    "own(token=subject_last, key=3)",
    "own(key='value', auth='none')",
    "tokens=512 max_tokens=32 new_tokens=8 token_losses=[0.1, 0.2]",
    "pad_token='<pad>' eos_token=</s> bos_token_id=0",
    "cannot read a in 'b': write name or name(key=value)",
    "wanda takes key=value only, but got 3 in 'wanda(3)'",
    "no model is at key/model: give a folder, or an id such as owner/model",
    "key/model@main",
    "hf://owner/model@main",
    "checkpoint 0123456789abcdef0123456789abcdef is damaged",
    "0123456789abcdef: done at 10:30:59, 3.5 s",
    "runs:/0123456789abcdef/checkpoint/model.safetensors",
    "http://localhost:5000/#/experiments/1/runs/0123456789abcdef",
    "http://localhost:5000/#/experiments/1?searchFilter=&orderByKey=attributes.start_time",
    "http://host/#/runs?workflowType=machine_learning&viewStateShareKey=0123456789abcdef",
    "a layer sees 5 of 6 tokens: padding cannot be told from text",
    "calibration: 2 experts saw fewer than 100 tokens: 3, 4",
    "MANIFEST has no key or no 'sha256'",
    "storage has a password, which would be recorded: set COMPOSABILITY_STUDY_STORAGE",
    "change the password, and purge the run with mlflow gc",
    "no password is asked for; the token is read from HF_TOKEN",
    "write to ada@host or a@b at 10:30",
    "git@host:owner/repository.git",
    "postgresql://ada@host/runs",
    "sqlite:////home/ada/runs@home.db",
    "--interventions 'ft; wanda' --key-value x --tokens 512",
    "python -m composability run 'lora | wanda' --model EleutherAI/pythia-14m",
    "{'token_losses': [0.1], 'tokens': 512, 'key': 'a', 'max_tokens': 3}",
    "key: a, tokens: 3, author: b, keys: c",
    "token: 3 of 5",
    "model.layers.0.self_attn.k_proj.weight: expected (8, 8), but got (8, 4)",
    "seed must be an integer from 0 to 9, but got -1",
    "C:/models/model@2",
    "file%3A%2F%2F%2Fhome%2Fada%2Fmlruns",
    "http%3A%2F%2Fhost%3A5000%2Fa%40b",
    "https://host/?signal=1&monkey=2&keyboard=3&author=b",
    "lora(targets=('q_proj',), token=last)",
    "secretary=ada, passenger=bob, monkey=1",
    "the tokenizer: byte level; the key: a hash of everything",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_an_ordinary_text_stays(text: str) -> None:
    assert without_secrets(text) == text and not has_secret(text)


@settings(max_examples=100)
@given(st.lists(st.sampled_from(ORDINARY), min_size=2, max_size=4), st.sampled_from(["\n", "; "]))
def test_ordinary_texts_together_stay(texts: list[str], between: str) -> None:
    text = between.join(texts)
    assert without_secrets(text) == text


def _messages() -> Iterator[str]:
    """Yield what the project's modules say: the constant parts of texts with a blank in them."""
    for package in ("interventions", "composability", "sweeps", "tracking", "analysis"):
        for file in sorted((ROOT / package).rglob("*.py")):
            if file.name in {"masking.py", "passwords.py", "address.py"}:
                continue  # their examples show passwords
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.JoinedStr):
                    parts = [
                        str(part.value) if isinstance(part, ast.Constant) else "x"
                        for part in node.values
                    ]
                    yield "".join(parts)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def test_every_text_of_the_projects_code_stays() -> None:
    texts = [text for text in _messages() if " " in text or "=" in text]
    assert len(texts) > 500
    assert [text for text in texts if without_secrets(text) != text] == []


def test_every_line_of_the_documentation_stays() -> None:
    files = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CHANGELOG.md"]
    files.remove(ROOT / "docs/explanation/security.md")  # it shows what is masked
    lines = [line for file in files for line in file.read_text().splitlines()]
    assert len(lines) > 500
    assert [line for line in lines if without_secrets(line) != line] == []


@pytest.mark.parametrize(
    "unit",
    [
        *("=", ":", "@", "/", "?", "&", "#", "%", "-", "_", ".", ",", ";", "'", '"', "(", ")"),
        *(" ", "\t", "\n", "*", "\\", "%3A", "%253A", "%2F", "%3A%2F%2F", "%40", "a%3A//b%3A"),
        *("?key=", "&auth=", "?token= ", "&key=a ", "password:", "password: '", "password='a"),
        *("--password ", "--token ", "--a", "token=", "token=(", "a(token=b,", "secret=", "PWD="),
        *("X-Api-Key: ", "authorization: ", "Authorization=Token ", "authorization=b'"),
        *("a://b@", "http://a@", "a://b:c\n", "a://b:c d\n", "a://b:c/@d/", "'a://b?key=c ", "A_"),
    ],
)
def test_a_long_text_of_one_repeated_piece_ends(unit: str) -> None:
    without_secrets(unit * (100_000 // len(unit)))
    without_secrets("http://u:" + unit * (100_000 // len(unit)) + "@h")
