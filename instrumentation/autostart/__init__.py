"""The folder that `spanledger run` puts on PYTHONPATH; Python imports its `sitecustomize` at start-up."""
