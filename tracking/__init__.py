"""One composition, one MLflow run.

Importing this package is light, because MLflow imports its plug-in at every start.
"""

from interventions import moved

moved.install()
