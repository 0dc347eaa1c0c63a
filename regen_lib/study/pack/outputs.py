"""What DVC knows of a study's outputs: where each lies, and the hash that dvc.lock has of it."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from dvc.output import Output
from dvc.repo import Repo
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.tree import Tree

from regen_lib.core.errors import StudyError

MADE_AGAIN = ("code", "raw", "images")  # stages that make theirs from the code and the published images, in seconds


def outputs() -> dict[str, Output]:
    """By their paths, the outputs of ./dvc.yaml that DVC keeps in its cache; git has the others, and :data:`MADE_AGAIN` make theirs."""
    here = Path("dvc.yaml").absolute()
    stages = [stage for stage in Repo().index.stages if Path(stage.path) == here and stage.name not in MADE_AGAIN]
    return {output.def_path: output for stage in stages for output in stage.outs if output.use_cache}


def owner(name: str, known: Mapping[str, Output]) -> str:
    """The path of the output that the file ``name`` belongs to; :class:`StudyError` for any other file, wherever it lies."""
    path = PurePosixPath(name)
    if str(path) == name and not path.is_absolute() and ".." not in path.parts:
        for above in (name, *map(str, path.parents)):
            if above in known:
                return above
    raise StudyError(f"{name[:100]!r} is no output of a stage of this study, and nothing else is unpacked")


def files(output: Output) -> list[Path]:
    """Every file of an output that is there, by path, but what .dvcignore hides: temporary files and the like."""
    path = Path(output.def_path)
    if path.is_file():
        return [path]
    return sorted(path / Path(file).relative_to(output.fs_path) for file in output.repo.dvcignore.find(output.fs, output.fs_path))


def hash_of(path: str, md5: Mapping[str, str]) -> str:
    """DVC's hash of the output at ``path``, made of the MD5 sums of its files: that of the one file, or of the list of all."""
    if path in md5:
        return md5[path]
    tree = Tree()  # type: ignore[no-untyped-call]
    for name, value in md5.items():
        tree.add(PurePosixPath(name).relative_to(path).parts, None, HashInfo("md5", value))
    tree.digest()
    return str(tree.oid)
