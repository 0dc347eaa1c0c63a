"""Which entries of a file of weights are a network's own."""


def counts(name: str) -> bool:
    """Whether an entry of a state_dict belongs to the network: BatchNorm's counters and GoogLeNet's auxiliary heads do not."""
    return not name.endswith("num_batches_tracked") and not name.startswith("aux")
