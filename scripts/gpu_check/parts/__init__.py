"""The steps of the check: each module has `run`, as `gpu_check.steps` says."""
