"""One analysis of recorded runs: its request, its findings in words, its report."""
