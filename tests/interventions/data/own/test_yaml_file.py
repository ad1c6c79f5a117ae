"""A YAML file of anybody's: plain values, bounded, and nothing twice."""

from pathlib import Path

import pytest

from interventions.data.own import yaml_file
from interventions.data.own.reading import read_data_set
from interventions.errors import InvalidInput

BOMB = "a: &a [x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "anchors and aliases"),
        ("retain: &x [a]", "anchors and aliases"),
        ("retain: !!python/object/apply:os.system [x]", "tags"),
        ("retain: !code x", "tags"),
        ("retain: " + "[" * 10_000, "nested deeper than 20"),
        ("retain: [a\n", "cannot be read as YAML in line"),
        ("retain: [a]\nretain: [b]", "the key 'retain' is there twice"),
        ("- a\n- b", "must be a mapping"),
        ("just text", "must be a mapping"),
        ("", "must be a mapping"),
        ("retain: 2024-13-45 x: y", "cannot be read as YAML"),
        ("edits: [{subject: a, prompt: a is, target: 1945}]", "'target' must be text"),
        ("edits: [{subject: a, prompt: a is, target: yes}]", "'target' must be text"),
        ("edits: [{subject: a, prompt: a is, target: 2024-01-02}]", "'target' must be text"),
        ("name: ours\nbatch: 3", "there are no data in it"),
        ("retian: [a]", "no field is named 'retian'. Did you mean 'retain'"),
        ("? [a, b]\n: c", "ours"),
        ("1: c", "no field is named 1"),
        ("window: 1", "'window' must be at least 2"),
        ("window: .nan", "'window' must be an integer"),
        ("validation: 1.5", "'validation' must be less than 1"),
        ("batch: 0", "'batch' must be at least 1"),
        ("name: a/b", "'name' must be at most 100 letters"),
        ("name: testbed\nretain: [a]", "cannot be called testbed"),
        ("retain: {hub: owner/name@main}", "a commit of 40 hexadecimal digits"),
        ("retain: {hub: ../../etc}", "'retain.hub' must be owner/name@"),
        ("retain: {rows: [a], file: b.txt}", "must have exactly one of rows or file or hub"),
        ("retain: {rows: [a], validation: 0.5}", "retain is learned from"),
        ("questions: {sets: {task: ./tasks/x.yaml, better: higher}}", "no file, which could run"),
        (
            "questions: {a b: {rows: [], better: higher}}",
            "'questions' must be a name of letters, digits and underscores",
        ),
        ("forget: {topics: {a b: [x]}}", "'forget.topics' must be a name of letters, digits"),
        ("questions: {ab: {rows: [a]}}", "field 'better' of questions.ab is missing"),
        ("allow_leak: [retain-question]", "Did you mean 'retain-questions'"),
        ("forget: {topics: {a: [x, y], b: [z]}}", "each needs as many texts"),
    ],
)
def test_a_bad_description_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "ours.yaml").write_text(text)
    with pytest.raises(InvalidInput, match=message) as error:
        read_data_set(tmp_path / "ours.yaml")
    assert len(str(error.value)) <= 390 and str(error.value).isprintable()


def test_a_large_file_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "ours.yaml").open("wb") as file:
        file.truncate(yaml_file.MOST_BYTES + 1)
    with pytest.raises(InvalidInput, match=r"has 4,194,305 bytes; at most 4,194,304 are read"):
        read_data_set(tmp_path / "ours.yaml")


@pytest.mark.parametrize("content", [b"\xff\xfea", b"retain: [\x00]"])
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ours.yaml").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"'ours\.yaml'"):
        read_data_set(tmp_path / "ours.yaml")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    loop = tmp_path / "loop.yaml"
    loop.symlink_to(loop)
    (tmp_path / "folder.yaml").mkdir()
    for name, message in {
        "loop.yaml": "cannot be read",
        "folder.yaml": "is no file",
        "missing.yaml": "No such file",
    }.items():
        with pytest.raises(InvalidInput, match=message):
            read_data_set(tmp_path / name)


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text("retain: [one]")
    before = read_data_set(path)
    path.write_text("retain: [one, two]")
    assert read_data_set(path).digest != before.digest
