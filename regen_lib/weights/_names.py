"""Which entries of a file of weights are a network's own."""

AUXILIARY = ("aux", "loss1/", "loss2/")  # GoogLeNet's auxiliary heads, at torchvision and in Caffe


def counts(name: str) -> bool:
    """Whether an entry of a file of weights belongs to the network: BatchNorm's counters and auxiliary heads do not."""
    return not name.endswith("num_batches_tracked") and not name.startswith(AUXILIARY)
