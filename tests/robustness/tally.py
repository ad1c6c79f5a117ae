"""What a harness tried and how often it was handled, as one line."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Attempts:
    """What was tried and what was not handled.

    Attributes:
        name: the harness's.
        seed: of its random choices.
        definition: what counts as handled, in a sentence.
        tried: how often, by kind.
        unhandled: a line for each that was not.
    """

    name: str
    seed: int
    definition: str
    tried: Counter[str] = field(default_factory=Counter)
    unhandled: list[str] = field(default_factory=list)

    def note(self, kind: str, problem: str = "") -> None:
        """Count an attempt; ``problem`` says what was wrong, if anything was."""
        self.tried[kind] += 1
        total = sum(self.tried.values())
        if total % 20 == 0:
            print(f"{self.name}: {total} tried", flush=True)
        if problem:
            line = f"{kind}: {problem}"
            self.unhandled.append(line)
            print(f"NOT HANDLED: {line}", flush=True)

    def row(self) -> str:
        """Return the line of the documentation's table."""
        total = sum(self.tried.values())
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.tried.items()))
        return f"| {self.name} | {self.seed} | {total} | {total - len(self.unhandled)} | {kinds} |"

    def report(self) -> int:
        """Print the definition and the line; return the exit status."""
        print(f"{self.name}, seed {self.seed}: handled means: {self.definition}")
        print(self.row(), flush=True)
        return int(bool(self.unhandled))
