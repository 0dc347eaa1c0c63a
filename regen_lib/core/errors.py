"""The one exception that this library raises for input it cannot use, and the one warning."""


class StudyError(ValueError):
    """Something given to the study is wrong; the message names it, its value and the remedy."""


class MismatchError(StudyError):
    """What was given does not go with a file that is sound: whoever opened the file does not ask for it to be made again."""


class StudyWarning(UserWarning):
    """Something came out usable but not as asked for; the message names it, its value and the remedy."""
