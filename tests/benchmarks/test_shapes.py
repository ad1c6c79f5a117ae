"""The benchmark of shapes measures what it says: the paper's hyperparameters, all of its texts."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import shapes
from benchmarks.made_up import SHAPES, made_up_data, random_lm, shape_config, word_tokenizer
from interventions.base import INTERVENTIONS, make
from interventions.lm import DTYPES, LM


@pytest.fixture(scope="module")
def lm() -> LM:
    return random_lm(shape_config("10m", blocks=3), "cpu", DTYPES["float32"])


@pytest.mark.parametrize(
    ("size", "millions"), [("8b", 8030), ("1b", 1236), ("150m", 138), ("10m", 10)]
)
def test_shapes_have_the_sizes_that_they_are_called_by(size: str, millions: int) -> None:
    values = SHAPES[size]
    hidden, heads = values["hidden_size"], values["num_attention_heads"]
    attention = 2 * hidden**2 + 2 * hidden * (hidden // heads * values["num_key_value_heads"])
    block = attention + 3 * hidden * values["intermediate_size"]
    embeddings = values["vocab_size"] * hidden * (1 if values["tie_word_embeddings"] else 2)
    weights = values["num_hidden_layers"] * block + embeddings
    assert round(weights / 1e6) == pytest.approx(millions, rel=0.1)


def test_every_made_up_word_is_one_token_and_texts_are_as_long_as_the_papers() -> None:
    config = shape_config("10m")
    data, words = made_up_data(config, share=0.01), word_tokenizer(config.vocab_size)
    lengths = [len(ids) for ids in words([data.calibration[0], data.forget[0]])["input_ids"]]
    assert lengths == [2048, 1024]
    assert words.unk_token_id not in words(list(data.calibration))["input_ids"][0]
    statistics = sum(len(ids) for ids in words(list(data.statistics))["input_ids"])
    assert statistics >= 40 * config.intermediate_size  # as many as the paper's profile reads
    assert len(data.edits) == 50 and len(data.seen_by("awq").calibration[0].split()) == 512


def test_every_intervention_is_measured_as_the_paper_set_it(lm: LM) -> None:
    work = shapes.jobs(lm, made_up_data(lm.model.config, share=0.01), [])
    assert set(INTERVENTIONS.all()) - set(work) == {"adapter"}
    assert {"mmlu + wmdp", "wikitext_ppl", "editing criteria", "fingerprint"} < set(work)
    for name in ("wanda", "gptq", "sparsegpt"):
        assert shapes.fitting(name, lm) == make(name, "paper")
    assert shapes.fitting("ga", lm).params()["last_layers"] == 1
    assert shapes.fitting("memit", lm).params()["layers"] == [0, 1, 2]


def test_rows_hold_seconds_tokens_and_the_memory_of_live_tensors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "rows.json"
    only = ["magnitude", "rtn", "fingerprint"]
    options = ["--size", "10m", "--blocks", "1", "--share", ".01", "--memory", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["shapes", *options, "--device", "cpu", "--only", *only])
    shapes.main()
    rows = {row["name"]: row for row in json.loads(out.read_text())}
    assert set(rows) == set(only) and all(not row["error"] for row in rows.values())
    weights = rows["magnitude"]["peak_gib"] - rows["magnitude"]["own_gib"]
    config = shape_config("10m", blocks=1)
    assert weights * 2**30 / 4 > config.vocab_size * config.hidden_size
    assert 0 < rows["magnitude"]["own_gib"] < weights
    assert "float32, CPU" in capsys.readouterr().out
