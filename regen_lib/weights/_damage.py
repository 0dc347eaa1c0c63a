"""What is said of a file from elsewhere that cannot be read."""

from pathlib import Path

from regen_lib.core.errors import StudyError

LONGEST = 100  # characters of what a parser says: some quote the file


def damaged(path: Path, what: str, error: Exception) -> StudyError:
    """The refusal of a file that should hold ``what``, whatever a parser has raised for it."""
    said = "".join(letter for letter in f"{type(error).__name__}: {error}"[:LONGEST] if letter.isprintable())
    return StudyError(f"{path} is truncated, damaged or no {path.suffix} file of {what} ({said}): download it again")
