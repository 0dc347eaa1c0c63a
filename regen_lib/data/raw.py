"""What the folder of raw images and weights must be, so that DVC sees every change in it. Imports nothing large: it is asked first."""

import os
from pathlib import Path

from regen_lib.core.errors import StudyError


def check_raw(folder: Path) -> None:
    """:class:`StudyError` for what DVC, which hashes all files below ``folder``, would wait on for ever or does not look into.

    ``folder`` itself may be a link; below it, links to files are followed, and links to folders are not.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                check_raw(Path(entry))
            elif entry.is_dir():
                raise StudyError(
                    f"{entry.path} is a link to a folder, and DVC sees no change behind it: link images.raw itself, or use `cp -rs`"
                )
            elif not entry.is_file():
                kind = "a link to nothing" if entry.is_symlink() else "a pipe, a socket or a device"
                raise StudyError(f"{entry.path} is {kind}, which DVC cannot read as it does all files there: remove it")
