"""Algorithm 1 on a device: training, evaluation; yields records and writes nothing."""
