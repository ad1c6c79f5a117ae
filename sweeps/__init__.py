"""Which compositions and hyperparameters to run: grids and studies."""
