"""What a step takes, without doing it: a rehearsal on tensors that have no values."""
