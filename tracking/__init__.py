"""One composition, one MLflow run. Importing this package is light: MLflow imports its plug-in at every start."""
