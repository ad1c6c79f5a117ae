"""Put the files of a checkpoint among a run's artifacts: as hard links where the store is local."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from mlflow import MlflowClient

from interventions.files import link_or_copy, set_read_only


def log_checkpoint_files(client: MlflowClient, run_id: str, folder: Path, artifact: str) -> None:
    """Put a folder's files among a run's artifacts.

    In a local store they are second names of the same files, which need no room: the removal of one
    leaves the other. Where that cannot be, they are copied, once.

    Args:
        client: of the store.
        run_id: the run's.
        folder: of plain files that nobody writes to again.
        artifact: the folder among the artifacts, such as "checkpoints/1-wanda".
    """
    with suppress(OSError):  # another user's, whose right it is
        set_read_only(folder)
    root = local_artifacts(client.get_run(run_id).info.artifact_uri)
    if root is None:
        client.log_artifacts(run_id, str(folder), artifact)
    else:
        link_or_copy(folder, root / artifact)


def local_artifacts(artifact_uri: str) -> Path | None:
    """Return the folder that holds a run's artifacts; None if they are not on this machine.

    Example:
        >>> local_artifacts("file:///store/1/artifacts"), local_artifacts("s3://bucket/1")
        (PosixPath('/store/1/artifacts'), None)
    """
    address = urlparse(artifact_uri)
    if address.scheme not in ("", "file") or address.netloc not in ("", "localhost"):
        return None
    return Path(url2pathname(address.path))
