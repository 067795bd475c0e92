"""Training data. In: folders of photos and cartoons. Out: batches of crops and their drawings."""
