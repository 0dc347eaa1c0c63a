"""Tables to the README's sentences and numbers."""
