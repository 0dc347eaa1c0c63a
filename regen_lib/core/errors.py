"""The one exception that this library raises for input it cannot use."""


class StudyError(ValueError):
    """Something given to the study is wrong; the message names it, its value and the remedy."""
