"""Put a checkpoint together from a run's files, and verify it against the run's tags.

Whoever may write an artifact may write its manifest too: so the two agree whatever the weights are.
The tag with the checkpoint's checksum was recorded with the run, and an artifact's author cannot
change it. Whatever is odd about an artifact is damage, never an error.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from mlflow.artifacts import download_artifacts
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from interventions.errors import InvalidInput, printable_line, shown
from interventions.files import is_plain_file
from tracking import schema, store
from tracking.artifact_files import local_artifacts
from tracking.checkpoints import delta
from tracking.checkpoints.holding import HeldCheckpoints
from tracking.checkpoints.integrity import content_checksum, damaged_files, in_words
from tracking.checkpoints.logged_models import model_of_step

_MOST_REASON = 100  # characters


class LoggedCheckpoints:
    """The checkpoints among the artifacts of one run.

    Args:
        run: the run.
        names: of its interventions, those applied again included.
        held: gives the base model's checkpoint.
        aside: a folder to download and to put together in; made if it is missing.

    Attributes:
        damage: what is wrong with an artifact; "" if nothing is.
        damaged_step: the step whose artifact that is; 0 if none is.
    """

    def __init__(self, run: Run, names: list[str], held: HeldCheckpoints, aside: Path) -> None:
        self._run, self._names, self._held, self._aside = run, names, held, aside
        self.damage, self.damaged_step = "", 0

    def whole(self, step: int) -> Path | None:
        """Return the verified full folder of the checkpoint after a step.

        There is a warning if it was recorded before there were checksums in tags.

        Returns:
            A folder in ``aside``; None if the artifacts are not enough or damaged.
        """
        folder = self._verified(step)
        if folder is not None and schema.checksum_tag(step) not in self._run.data.tags:
            warnings.warn(
                f"run {self._run.info.run_id} recorded no checksum of step {step}, as versions"
                " before 0.2 did: verified only against the manifest among its artifacts",
                stacklevel=3,
            )
        return folder

    def _verified(self, step: int) -> Path | None:
        try:
            logged = self._download(step)
            is_whole = logged is None or not (logged / delta.CHANGES).exists()
            if is_whole:
                if logged is not None:
                    self._verify(step, logged)
                return logged
        except Exception as error:  # whatever a damaged file raises
            self._note_damage(step, error)
            return None
        # what this computes may fail for reasons of its own
        before = self._verified(step - 1) if step > 1 else self._held.folder(0)
        if before is None or logged is None:
            return None
        whole = self._aside / f"{step}-whole"
        try:
            delta.assemble_checkpoint(before, logged, whole)
            self._verify(step, whole)
        except Exception as error:  # the same
            self._note_damage(step, error)
            return None
        return whole

    def _note_damage(self, step: int, error: Exception) -> None:
        self.damage = printable_line(str(error) or type(error).__name__, _MOST_REASON)
        self.damaged_step = step

    def _verify(self, step: int, folder: Path) -> None:
        damaged = damaged_files(folder)
        if damaged:
            raise InvalidInput(in_words(damaged))
        recorded = self._run.data.tags.get(schema.checksum_tag(step))
        if recorded not in (None, content_checksum(folder)):
            raise InvalidInput("it is not the checkpoint whose checksum the run recorded")

    def _download(self, step: int) -> Path | None:
        """Download a checkpoint's folder: the run's, or that of the LoggedModel with its files.

        Returns:
            None if there is none, or an empty one.
        """
        artifact = schema.checkpoint_folder(step, self._names[step - 1])
        folder = self._download_from(f"{self._run.info.artifact_uri}/{artifact}", f"{step}")
        if folder is not None:
            return folder
        model = model_of_step(store.client(), self._run, step)
        return model and self._download_from(model.artifact_location, f"{step}-model")

    def _download_from(self, address: str, name: str) -> Path | None:
        _refuse_links(address)
        destination = self._aside / name  # which MLflow makes
        try:
            downloaded = download_artifacts(
                artifact_uri=address, dst_path=str(destination), tracking_uri=store.uri()
            )
        except (MlflowException, OSError):
            return None
        path = Path(downloaded)
        return path if any(path.iterdir()) else None


def _refuse_links(address: str) -> None:
    """Check that nothing among local artifacts is a link: MLflow copies what it points at."""
    folder = local_artifacts(address)
    if folder is None:
        return
    for path in (folder.parent, folder):
        if path.is_symlink():
            raise InvalidInput(f"{path.name} is a link")
    for path in folder.iterdir() if folder.is_dir() else ():
        if not is_plain_file(path):
            raise InvalidInput(f"{shown(path.name, 60)} is no plain file")
