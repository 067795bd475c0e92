"""The training itself. In: a run's config and batches. Out: training states."""
