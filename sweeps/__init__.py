"""Which compositions and hyperparameters to run: grids and studies."""

from interventions import moved

moved.install()
