"""The fixes that `python -m tests.quality.reverts` takes back are still in the code."""

import re

from tests.quality.plain_words import ROOT
from tests.quality.reverts import read_reverts


def test_every_fix_is_once_in_its_file_and_its_tests_are_there() -> None:
    reverts = read_reverts()
    assert len(reverts) > 370
    for revert in reverts:
        source = (ROOT / revert.path).read_text()
        assert revert.applied(source) != source, revert.what
        assert revert.tests, revert.what
        for test in revert.tests:
            file, _, name = test.partition("::")
            text = (ROOT / file).read_text()
            function = re.sub(r"\[.*", "", name)
            assert not function or f"def {function}(" in text, test
