"""A PostgreSQL server of Debian's package on loopback, for as long as a block lasts."""

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

_OTHERS_MAY_ENTER = 0o005


def find_programs() -> Path | None:
    """Return the folder of `initdb` and `pg_ctl`, which Debian does not put on PATH."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if installed:
        return installed[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


def lacking() -> str:
    """Return how to install what is missing; empty if nothing is."""
    if find_programs() is not None and find_spec("psycopg") is not None:
        return ""
    return "needs `apt-get install postgresql` and `pip install .[postgres]`"


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Run a server, and give the address of an empty database.

    Args:
        folder: for the data; is made if it is missing.

    Raises:
        FileNotFoundError: PostgreSQL is not installed.
    """
    programs = find_programs()
    if programs is None:
        raise FileNotFoundError(lacking())
    is_root = os.geteuid() == 0
    # The server refuses to run as root.
    user = "postgres" if is_root else getpass.getuser()
    port, data = _free_port(), folder / "data"
    data.mkdir(parents=True)
    if is_root:
        _give(data, user)

    def run(program: str, *arguments: str) -> None:
        prefix = ["runuser", "-u", user, "--"] if is_root else []
        command = [*prefix, str(programs / program), *arguments]
        subprocess.run(command, cwd=data, check=True, stdout=subprocess.DEVNULL)

    run("initdb", "-D", str(data), "-A", "trust", "-U", "mlflow", "--no-sync")
    options = f"-p {port} -h 127.0.0.1 -k {data} -c fsync=off"
    run("pg_ctl", "-D", str(data), "-w", "-l", str(data / "log"), "-o", options, "start")
    try:
        run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "mlflow", "mlflow")
        yield f"postgresql://mlflow@127.0.0.1:{port}/mlflow"
    finally:
        if is_root:
            # another pytest that starts meanwhile closes the folder above its temporary ones
            _open_parents(data)
        run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")


def _give(data: Path, user: str) -> None:
    """Let a user own a folder, and enter the folders above it."""
    _open_parents(data)
    shutil.chown(data, user)


def _open_parents(data: Path) -> None:
    for parent in data.parents:
        mode = parent.stat().st_mode
        if parent.owner() == "root" and mode & _OTHERS_MAY_ENTER == 0:
            parent.chmod(mode | _OTHERS_MAY_ENTER)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
