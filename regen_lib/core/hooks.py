"""Hooks for as long as they are needed."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from torch.utils.hooks import RemovableHandle


@contextmanager
def hooked(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Within, the hooks of ``handles`` are called; afterwards, come what may, they are gone."""
    with ExitStack() as stack:
        for handle in handles:
            stack.enter_context(handle)
        yield
