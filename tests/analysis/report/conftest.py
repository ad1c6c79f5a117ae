"""An analysis of the small grid on the testbed, made once."""

from pathlib import Path

import pytest

from tests.analysis.report.command import analyze


@pytest.fixture(scope="session")
def analysed(grid_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the command wrote."""
    output = tmp_path_factory.mktemp("analysed") / "new" / "folder"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", grid_uri)
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        assert analyze(experiment="composability", output=str(output)) == 0
    return output
