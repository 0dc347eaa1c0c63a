"""The command line of the study: ``python -m regen_lib.study --help``."""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from regen_lib.core.errors import StudyError

PARAMS = Path("params.yaml")


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        return work(options)
    except (StudyError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except SyntaxError as error:  # of a module that is first needed there, or half merged
        print(f"error: {error.filename}, line {error.lineno}, is no Python ({error.msg}): mend it, or take git's", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:  # wherever the study's packages are first needed
        if (error.name or "").startswith("regen_lib"):
            raise
        print(f"error: the study needs {error.name}: pip install 'regen_lib[study]' ({error})", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"stopped: {' '.join(sys.argv[1:] if arguments is None else arguments)}", file=sys.stderr)
        return 130


def work(options: argparse.Namespace) -> int:
    """Do what a command asks for; the exit status. Here, not above, come the packages that a library without the study lacks."""
    from dvc.exceptions import DvcException

    from regen_lib.study.lifeline import end_with_dvc
    from regen_lib.study.surroundings import settle

    end_with_dvc()
    settle()
    try:
        status: int = options.work(options)
    except DvcException as error:
        said = " ".join(str(error).split())
        raise StudyError(f"DVC: {said}: run in the study's folder, with git's dvc.yaml and dvc.lock") from error
    return status


def load_params(path: Path, *, deep: bool = False) -> dict[str, Any]:
    """A parameter file, checked: :func:`regen_lib.study.params.load_params`."""
    from regen_lib.study import params

    return params.load_params(path, deep=deep)


def parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    whole = argparse.ArgumentParser(prog="python -m regen_lib.study", description="The study in this folder: its stages and parameters.")
    commands = whole.add_subparsers(dest="command", required=True)

    def command(name: str, work: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(work=work)
        return added

    repro = command("repro", reproduce, "bring every stage up to date, several at once")
    repro.add_argument("targets", nargs="*", help="some stages, with what they need (default: all)")
    repro.add_argument("--jobs", type=int, help="how many at once (default: as many as cores and memory allow)")
    run = command("run", run_stage, "run a notebook as a stage; dvc.yaml calls this")
    run.add_argument("notebook", help="its name in notebooks/, without .ipynb")
    run.add_argument("--as", dest="name", required=True, help="name of the stage, of its executed notebook and of its times")
    run.add_argument("--section", required=True, help="section of params.yaml whose keys are the notebook's parameters")
    run.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one more parameter; @a.b takes params.yaml's")
    command("code", stamp_code, "write what each stage is made of into data/code; dvc.yaml calls this")
    command("raw", fetch_raw, "fetch the source of images, or see that it is there; dvc.yaml calls this")
    command("report", write_report, "write summary.json and, in the default study, the numbers in README.md and docs/; dvc.yaml calls this")
    command("check", check, "check params.yaml")
    outputs = command("outputs", take_outputs, "put the executed notebooks' outputs into notebooks/, to be read in git")
    outputs.add_argument("--executed", type=Path, default=Path("executed"), help="where the executed notebooks are (default: executed)")
    outputs.add_argument("--of", metavar="STUDY", help="what the notebooks say that they show (default: the study in this folder)")
    drawn = command("dag", draw_dag, "what each stage needs, the networks, attacks and defences of a stage in one line")
    drawn.add_argument("--mermaid", action="store_true", help="as a Mermaid diagram")
    packed = command("pack", write_pack, "write what the stages made, with model cards, into one archive")
    packed.add_argument("file", type=Path, help="the archive, a .zip")
    packed = command("unpack", read_pack, "check such an archive, and put what it holds in place")
    packed.add_argument("file", type=Path, help="the archive")
    photos = command("photos", bring_photos, "fetch what the study of photographs reads, or link to it")
    photos.add_argument("study", type=Path, help="the study's folder, studies/imagenette")
    photos.add_argument("--raw", type=folders, default=(), help="folders that have it all, a colon between them: nothing is fetched")
    photos.add_argument("--weights", type=Path, help="a folder of published files, downloaded elsewhere")
    folder = command("folder", make_folder, "make a folder in which the study can run with a profile's changes")
    folder.add_argument("folder", type=Path, help="where: params.yaml, dvc.yaml and results go there")
    folder.add_argument("--profile", type=Path, required=True, help="a YAML file of what differs")
    folder.add_argument("--seed", type=int, help="another seed than the study's")
    gathered = command("seeds", gather_seeds, "write metrics/seeds.csv from this study and from the same with other seeds")
    gathered.add_argument("folders", type=Path, nargs="+", help="folders in which the same study ran with other seeds")
    return whole


def reproduce(options: argparse.Namespace) -> int:
    """Bring the stages up to date."""
    from regen_lib.data.raw import check_raw
    from regen_lib.study import schedule

    params = load_params(PARAMS)  # the stage `code`, which runs first, looks deeper
    if (raw := Path(params["images"]["raw"])).is_dir():
        check_raw(raw)
    if options.jobs is not None and options.jobs < 1:
        raise StudyError(f"--jobs {options.jobs}: at least one")
    return schedule.repro(options.jobs or schedule.cores_and_memory(params), options.targets)


def run_stage(options: argparse.Namespace) -> int:
    """Run one notebook as a stage."""
    import papermill

    from regen_lib.study import stage

    asked = stage.Stage(options.notebook, options.name, options.section, tuple(options.set))
    params = load_params(PARAMS)
    if stage.several(params):
        return stage.launch(params["run"], asked)
    try:
        stage.run(asked, params)
    except papermill.PapermillExecutionError as error:
        print(f"error: {asked.notebook}, cell {error.cell_index}: {error.ename}: {error.evalue}", file=sys.stderr)
        print(f"the whole story is in {stage.EXECUTED / asked.name}.ipynb", file=sys.stderr)
        return 1
    return 0


def stamp_code(_options: argparse.Namespace) -> int:
    """Write every stage's file of code and parameters."""
    from regen_lib.study.code import write_stamps

    write_stamps(load_params(PARAMS, deep=True))
    return 0


def fetch_raw(_options: argparse.Namespace) -> int:
    """Fetch what the images are read from."""
    from regen_lib.data.sources import fetch

    images = load_params(PARAMS)["images"]
    fetch(images["source"], Path(images["raw"]))
    return 0


def write_report(_options: argparse.Namespace) -> int:
    """Write what follows from the tables."""
    from regen_lib.study.report import readme

    return readme.main()


def check(_options: argparse.Namespace) -> int:
    """Check the parameters, and name the rows that come to nothing."""
    from regen_lib.study.unused import unused

    for line in unused(load_params(PARAMS, deep=True)):
        print(f"warning: {PARAMS}: {line}", file=sys.stderr)
    return 0


def take_outputs(options: argparse.Namespace) -> int:
    """Put the outputs of executed notebooks into the study's."""
    from regen_lib.study.outputs import write_outputs, write_picture

    root = Path(load_params(PARAMS)["study"]["source"])
    study = options.of or Path(os.path.relpath(Path.cwd(), root)).as_posix()
    write_outputs(root / "notebooks", options.executed, study)
    write_picture(root, study)
    return 0


def draw_dag(options: argparse.Namespace) -> int:
    """Print the stages, one line or node each."""
    from regen_lib.study import dag

    print(dag.mermaid(dag.stages()) if options.mermaid else dag.listed(dag.stages()))
    return 0


def write_pack(options: argparse.Namespace) -> int:
    """Write the study's archive."""
    from regen_lib.study.pack.archive import pack

    print(f"{options.file}: {pack(options.file)} files")
    return 0


def read_pack(options: argparse.Namespace) -> int:
    """Put an archive's files in place."""
    from regen_lib.study.pack.archive import unpack

    print(f"{options.file}: {unpack(options.file)} files, all as dvc.lock has them")
    return 0


def folders(text: str) -> tuple[Path, ...]:
    """Folders that are named as in PATH."""
    return tuple(Path(folder) for folder in text.split(os.pathsep) if folder)


def bring_photos(options: argparse.Namespace) -> int:
    """Fill the study's folder of raw data."""
    from regen_lib.study.photos import bring

    raw = options.study / load_params(options.study / PARAMS)["images"]["raw"]
    bring(raw, options.raw, options.weights)
    return 0


def make_folder(options: argparse.Namespace) -> int:
    """Make a folder with the study's definition and a profile's parameters."""
    from regen_lib.study.folder import prepare

    prepare(options.folder, PARAMS, options.profile, seed=options.seed)
    return 0


def gather_seeds(options: argparse.Namespace) -> int:
    """Put the studies of all seeds into one table."""
    from regen_lib.core.storage import write_table
    from regen_lib.study.report.seeds import gather

    write_table(Path("metrics/seeds.csv"), gather([Path(), *options.folders]))
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # an orderly end, as on Ctrl-C
    sys.exit(main())
