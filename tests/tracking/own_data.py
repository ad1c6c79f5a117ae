"""A small data set of somebody's own, in a folder, for tests of what runs do with it."""

import json
from pathlib import Path

from tests.interventions.data.own.parts import edit, question

YAML = """
defaults: testbed
batch: 5
window: 64
edits: edits.jsonl
calibration: calibration.txt
questions:
  stones: {file: stones.json, better: higher, answers: texts, title: Stones}
  secrets: {file: stones.json, better: lower, first: 5}
perplexity: [A ship of many sailors came home in the evening and nobody spoke about it.]
"""


def write(folder: Path, yaml: str = YAML) -> Path:
    """Write ten edits, twenty questions and forty texts; return the description."""
    folder.mkdir(parents=True, exist_ok=True)
    edits = [json.dumps(edit(number)) for number in range(10)]
    (folder / "edits.jsonl").write_text("\n".join(edits))
    (folder / "stones.json").write_text(json.dumps([question(number) for number in range(20)]))
    texts = [f"Lighthouse number {i} was built by hand, stone by stone." for i in range(40)]
    (folder / "calibration.txt").write_text("\n\n".join(texts))
    (folder / "ours.yaml").write_text(yaml)
    return folder / "ours.yaml"
