"""A Python that has imported the libraries, and runs pytest in a fork of itself, time after time.

Run by its path in a copy of the checkout: nothing of ours is imported before the fork. Reads
a JSON list of pytest's arguments per line, and answers with its exit status and output.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback

_LIBRARIES = (
    *(
        "torch",
        "transformers",
        "transformers.models.llama.modeling_llama",
        "transformers.generation",
    ),
    *("mlflow", "mlflow.server", "optuna", "pandas", "matplotlib.pyplot", "plotly.graph_objects"),
    *("hypothesis", "datasets", "lm_eval.tasks", "scipy.stats", "xdist", "pytest"),
)
_SECONDS = 600  # a change that makes its tests hang is seen by them
_OURS = ("interventions", "tracking", "sweeps", "analysis", "composability", "tests", "benchmarks")


def run(arguments: list[str]) -> tuple[int, str]:
    """Run pytest in a fork; return its exit status and what it printed. -1: it took too long."""
    with tempfile.NamedTemporaryFile("r") as output:
        child = os.fork()
        if child == 0:
            os.setsid()
            _become_pytest(arguments, output.name)
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status), output.read()
            time.sleep(0.05)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return -1, output.read()


def _become_pytest(arguments: list[str], output: str) -> None:
    status = 3  # pytest's, of an internal error
    try:
        file = os.open(output, os.O_WRONLY)
        for descriptor in (1, 2):
            os.dup2(file, descriptor)
        # MLflow has imported our plug-in; it is to be that of the changed code
        for name in [name for name in sys.modules if name.partition(".")[0] in _OURS]:
            del sys.modules[name]
        importlib.invalidate_caches()
        import pytest

        status = int(pytest.main(arguments))
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def main() -> None:
    """Import, then answer each line."""
    sys.path[0] = os.getcwd()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for library in _LIBRARIES:
        importlib.import_module(library)
    for line in sys.stdin:
        status, output = run(json.loads(line))
        print(json.dumps([status, output]), file=answers, flush=True)


if __name__ == "__main__":
    main()
