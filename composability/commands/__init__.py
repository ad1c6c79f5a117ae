"""The subcommands, one file each; they import torch and MLflow only when they run."""
