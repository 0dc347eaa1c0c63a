"""What a machine or a copy of the project may lack, made up for, or refused before anything runs."""

import getpass
import os
import sys
from pathlib import Path

from regen_lib.core.errors import StudyError

OUTPUTS = ("data", "executed", "figures", "metrics")
NO_GIT = "[core]\n    no_scm = true\n"


def settle() -> None:
    """Make this process and those that it starts independent of home, user, locale and git; :class:`StudyError` where that cannot be."""
    refuse_links()
    have_a_user()
    os.environ.setdefault("PYTHONUTF8", "1")  # for DVC and the kernel
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    do_without_git(Path.cwd())


def refuse_links() -> None:
    """:class:`StudyError` where a folder of outputs is a link: DVC would refuse the outputs, after hours of work."""
    for folder in map(Path, OUTPUTS):
        if folder.is_symlink():
            where = f"{folder} is a link to {folder.readlink()}, and DVC keeps no outputs behind links"
            remedy = "have DVC's cache on that disk (`dvc cache dir FOLDER`, `dvc config cache.type symlink`)"
            raise StudyError(f"{where}: make it a folder; data/raw may be a link. For more room {remedy}")


def have_a_user() -> None:
    """A home to write to and a user's name, where a container has neither: DVC, IPython and Matplotlib ask for them."""
    if not os.access(os.path.expanduser("~"), os.W_OK):  # Path.home raises where nobody knows one
        home = Path("build/home")
        home.mkdir(parents=True, exist_ok=True)
        os.environ["HOME"] = str(home.absolute())
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = f"user{os.getuid()}"


def do_without_git(here: Path) -> None:
    """Tell DVC that a downloaded copy of the project, the folder ``here`` or one above it, has no git."""
    root = next((folder for folder in (here, *here.parents) if (folder / ".dvc/config").is_file()), None)
    if root and not any((folder / ".git").exists() for folder in (root, *root.parents)):
        local = root / ".dvc/config.local"
        if not local.exists() and "no_scm = true" not in (root / ".dvc/config").read_text(encoding="utf-8"):
            local.write_text(NO_GIT, encoding="utf-8")
