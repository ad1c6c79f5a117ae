"""Every composition of a list of interventions, each a run under one parent run."""
