"""Tables to the sentences and numbers of the README and of docs/."""
