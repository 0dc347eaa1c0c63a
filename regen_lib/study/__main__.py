"""The command line of the study: ``python -m regen_lib.study --help``."""

import argparse
import sys
from pathlib import Path

import papermill

from regen_lib.core.errors import StudyError
from regen_lib.study.params import load_params
from regen_lib.study.stage import launch, notebook_of, run, several


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m regen_lib.study", description="Run a stage of the study, or check its parameters.")
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run", help="run a notebook as a stage")
    runner.add_argument("notebook", help="its name in notebooks/, without .ipynb")
    runner.add_argument("--section", required=True, help="section of params.yaml whose keys are the notebook's parameters")
    runner.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one more parameter; @a.b takes params.yaml's")
    runner.add_argument("--stage", help="name of the executed copy in build/executed (default: the notebook's)")
    runner.add_argument("--root", type=Path, default=Path(), help="folder of params.yaml, data, metrics and figures (default: this one)")
    commands.add_parser("check", help="check params.yaml")
    options = parser.parse_args(arguments)
    try:
        if options.command == "check":
            load_params(Path("params.yaml"))
            return 0
        notebook_of(options.notebook)
        params = load_params(options.root / "params.yaml", whole=options.root == Path())
        if several(params):
            return launch(params["run"], sys.argv[1:] if arguments is None else arguments)
        run(params, options.notebook, options.section, [f"root={options.root}", *options.set], options.stage or options.notebook)
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except papermill.PapermillExecutionError as error:
        print(f"error: {options.notebook}, cell {error.cell_index}: {error.ename}: {error.evalue}", file=sys.stderr)
        print(f"the whole story is in build/executed/{options.stage or options.notebook}.ipynb", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
