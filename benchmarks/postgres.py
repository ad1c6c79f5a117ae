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


class Server:
    """A server whose data are in a folder.

    Attributes:
        port: of loopback.
    """

    def __init__(self, folder: Path) -> None:
        """Make the data; the server does not run yet.

        Raises:
            FileNotFoundError: PostgreSQL is not installed.
        """
        programs = find_programs()
        if programs is None:
            raise FileNotFoundError(lacking())
        is_root = os.geteuid() == 0
        # the server refuses to run as root
        self._user = "postgres" if is_root else getpass.getuser()
        self._prefix = ["runuser", "-u", self._user, "--"] if is_root else []
        self._programs, self._data, self.port = programs, folder / "data", _free_port()
        self._data.mkdir(parents=True)
        if is_root:
            _give(self._data, self._user)
        data = str(self._data)
        self._run("initdb", "-D", data, "-A", "trust", "-U", "mlflow", "--no-sync")

    def start(self) -> None:
        """Start the server, and return once it answers."""
        options = f"-p {self.port} -h 127.0.0.1 -k {self._data} -c fsync=off"
        log = str(self._data / "log")
        self._run("pg_ctl", "-D", str(self._data), "-w", "-l", log, "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server: "fast" ends its connections, "immediate" is as a crash."""
        if self._prefix:
            # another pytest that starts meanwhile closes the folder above its temporary ones
            _open_parents(self._data)
        self._run("pg_ctl", "-D", str(self._data), "-m", mode, "-w", "stop")

    def create(self, database: str) -> str:
        """Make an empty database, and return its address."""
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "mlflow", database)
        return f"postgresql://mlflow@127.0.0.1:{self.port}/{database}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._prefix, str(self._programs / program), *arguments]
        subprocess.run(command, cwd=self._data, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Run a server, and give the address of an empty database.

    Args:
        folder: for the data; is made if it is missing.

    Raises:
        FileNotFoundError: PostgreSQL is not installed.
    """
    server = Server(folder)
    server.start()
    try:
        yield server.create("mlflow")
    finally:
        server.stop()


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
