"""Training on texts after the fact: benign, or of what was unlearned."""
