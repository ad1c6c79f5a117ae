"""What the documentation tells its reader to type, and an environment like the reader's."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.checkouts import OWN_VARIABLES, ROOT, copy_checkout, make_environment

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"(?:\$ )?((?:composability|make|mlflow run|python) .+)")
SESSION = re.compile(r"^(?:>>>|\.\.\.) ?(.*)$", re.MULTILINE)
SHELL = ("", "bash", "console", "sh")
MOST_SECONDS = 1200
SCRIPTS = {
    "composability": "from composability.command import main\nraise SystemExit(main())\n",
    "mlflow": "from mlflow.cli import cli\ncli()\n",
}


@dataclass(frozen=True)
class Snippet:
    """A line for the shell, or some Python."""

    language: str
    text: str


def snippets_of(page: Path) -> Iterator[Snippet]:
    """Yield what a page tells its reader to type, in the order of the page."""
    for language, block in BLOCK.findall(page.read_text()):
        if language == "python":
            yield Snippet("python", block)
        elif language in SHELL:
            for line in block.splitlines():
                command = COMMANDS.match(line)
                if command:
                    yield Snippet("shell", command[1].partition("  #")[0].rstrip())
            session = SESSION.findall(block)
            if session:
                yield Snippet("python", "\n".join(session) + "\n")


@dataclass(frozen=True)
class Reader:
    """A checkout as `make setup` leaves it, with a store, a cache and a HOME of its own."""

    checkout: Path
    home: Path

    def types(self, snippet: Snippet) -> str:
        """Run a snippet in the checkout, its environment activated; return what it prints."""
        if snippet.language == "python":
            return self._run([str(self.checkout / ".venv" / "bin" / "python"), "-c", snippet.text])
        return self._run(["bash", "-o", "pipefail", "-c", snippet.text])

    def _run(self, command: list[str]) -> str:
        variables = {
            name: value for name, value in os.environ.items() if not name.startswith(OWN_VARIABLES)
        }
        variables["PATH"] = f"{self.checkout / '.venv' / 'bin'}{os.pathsep}{variables['PATH']}"
        variables |= {"HOME": str(self.home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        process = subprocess.run(
            command,
            cwd=self.checkout,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=MOST_SECONDS,
        )
        assert process.returncode == 0, f"{command[-1]}\n{process.stdout}"
        return process.stdout


def new_reader(folder: Path) -> Reader:
    """Make the checkout and its environment; what `make setup` downloads is this one's."""
    checkout = copy_checkout(folder / "checkout")
    python = make_environment(checkout / ".venv", None, checkout)
    for name, text in SCRIPTS.items():
        script = python.with_name(name)
        script.write_text(f"#!{python}\n{text}")
        script.chmod(0o755)
    (checkout / ".venv" / ".ready").touch()
    (folder / "home").mkdir()
    return Reader(checkout, folder / "home")


def pages() -> list[Path]:
    """Return the pages whose commands are run, in the order in which one would read them."""
    first = (ROOT / "README.md", ROOT / "docs" / "tutorial.md")
    return [*first, *sorted((ROOT / "docs" / "howto").glob("*.md"))]
