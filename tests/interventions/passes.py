"""What loops tell a rehearsal."""


class NotedPasses:
    """Notes of passes that stand for others how many times their time these take, and how many.

    Attributes:
        ended: (times, passes) of every such pass, in order.
    """

    def __init__(self) -> None:
        self.ended: list[tuple[float, int]] = []

    def begin_pass(self) -> None:
        """Begin one; nothing is noted."""

    def end_pass(self, times: float, passes: int) -> None:
        """Note a pass that stands for others."""
        if passes:
            self.ended.append((times, passes))
