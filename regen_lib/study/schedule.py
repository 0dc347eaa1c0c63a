"""The whole study on all cores: DVC's graph, walked with as many stages at once as there is room for.

DVC itself repeats stages one after the other. Here each runs as ``dvc repro --single-item`` as soon as all that it needs has run, the
longest way to the end first. The bytes are the same as one by one, and so is dvc.lock.
"""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import networkx as nx
import psutil
from dvc.repo import Repo

from regen_lib.core.errors import StudyError
from regen_lib.study import lifeline
from regen_lib.study.stage import CODE, EXECUTED, USAGE

LOGS = Path("build/log")
MEMORY = 2e9  # bytes that a stage may take: the largest of the default study takes 1.8 GB
UNKNOWN = 60.0  # seconds of a stage that nobody has timed
UNTIMED = (KeyError, TypeError, ValueError)  # what reading the times from a damaged file raises
DVC = [sys.executable, "-m", "dvc", "--wait-for-lock"]


def cores_and_memory(params: Mapping[str, Any]) -> int:
    """How many stages the machine has room for at once; one where a stage takes several processes itself."""
    if params["run"]["processes"] > 1:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores // params["study"]["threads"], int(psutil.virtual_memory().available / MEMORY)))


@dataclass
class Plan:
    """The stages that may have to run: ``graph`` from a stage to those that need it, and how long each took last, in seconds."""

    graph: nx.DiGraph
    seconds: Mapping[str, float]
    done: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)

    def ready(self, running: Iterable[str]) -> list[str]:
        """The stages that could start now, the one with the longest way to the end first."""
        begun = {*self.done, *self.failed, *running}
        free = [name for name in self.graph if name not in begun and self.done.issuperset(self.graph.predecessors(name))]
        return sorted(free, key=lambda name: (-self.way[name], name))

    @cached_property
    def way(self) -> Mapping[str, float]:
        """Seconds from the start of each stage to the end of the last that needs it."""
        found: dict[str, float] = {}
        for name in reversed(list(nx.topological_sort(self.graph))):
            found[name] = self.took(name) + max((found[after] for after in self.graph.successors(name)), default=0.0)
        return found

    def took(self, name: str) -> float:
        """Seconds that a stage took last; where nobody knows, those of its siblings in the mean, or a minute."""
        if name in self.seconds:
            return self.seconds[name]
        alike = [seconds for other, seconds in self.seconds.items() if other.partition("@")[0] == name.partition("@")[0]]
        return sum(alike) / len(alike) if alike else UNKNOWN

    def to_go(self, running: Mapping[str, float], jobs: int) -> float:
        """Seconds until all is done, ``running`` stages having begun at those times: what is left, ``jobs`` at once, or the longest way."""
        begun = {name: time.monotonic() - at for name, at in running.items()}
        left = [name for name in self.graph if name not in self.done and name not in self.failed]
        ways = [max(0.0, self.way[name] - begun.get(name, 0.0)) for name in left]
        return max(sum(max(0.0, self.took(name) - begun.get(name, 0.0)) for name in left) / jobs, max(ways, default=0.0))


def planned(targets: Iterable[str]) -> Plan:
    """The stages of ./dvc.yaml that changed, and all that need them; with ``targets``, only what these need."""
    here, repo = Path("dvc.yaml").absolute(), Repo()
    graph = nx.relabel_nodes(repo.index.graph, lambda stage: stage.addressing).reverse()
    names = {stage.addressing: stage.name for stage in repo.index.stages if Path(stage.path) == here}
    graph = nx.relabel_nodes(graph.subgraph(names), names)
    changed = {names[address] for address in repo.status(targets=["dvc.yaml"]) if address in names}
    wanted = set(graph)
    for name in (targets := list(targets)):
        matching = named(graph, name)
        wanted = (set() if name == targets[0] else wanted) | matching.union(*(nx.ancestors(graph, stage) for stage in matching))
    touched = changed.union(*(nx.descendants(graph, name) for name in changed))
    return Plan(nx.DiGraph(graph.subgraph(touched & wanted)), last_times())


def named(stages: Iterable[str], name: str) -> set[str]:
    """Those of the ``stages`` that ``name`` means: that one, or all of a kind; :class:`StudyError` where there is none."""
    if found := {stage for stage in stages if stage == name or stage.partition("@")[0] == name}:
        return found
    raise StudyError(f"stage {name!r} is unknown: `dvc stage list` names them")


def defined() -> list[Any]:
    """The stages of ./dvc.yaml, as DVC has them."""
    here = Path("dvc.yaml").absolute()
    return [stage for stage in Repo().index.stages if Path(stage.path) == here]


def stamps(stages: Iterable[Any]) -> list[Path]:
    """The files of code and parameters on which ``stages`` depend."""
    deps = [Path(dep.fs_path) for stage in stages for dep in stage.deps]
    return [path for path in deps if path.parent == CODE.absolute()]


def last_times() -> dict[str, float]:
    """Seconds that each stage took when it last ran here, or else in the committed run; a damaged file says nothing."""
    found: dict[str, float] = {}
    with suppress(FileNotFoundError, *UNTIMED), Path("metrics/minutes.csv").open(encoding="utf-8") as file:
        found = {"@".join(filter(None, (row["stage"], row["network"]))): float(row["cpu_seconds"]) for row in csv.DictReader(file)}
    for path in sorted(USAGE.glob("*.json")):
        with suppress(*UNTIMED):
            found[path.stem.replace("-", "@", 1)] = float(json.loads(path.read_text(encoding="utf-8"))["seconds"])
    return found


def repro(jobs: int, targets: Iterable[str] = ()) -> int:
    """Bring the study in this folder up to date with ``jobs`` stages at once; the exit status. What a stage says goes to a log."""
    targets, stages = list(targets), defined()
    for name in targets:  # refused before anything runs
        named((stage.name for stage in stages), name)
    LOGS.mkdir(parents=True, exist_ok=True)
    again = [] if all(path.is_file() for path in stamps(stages)) else ["--force"]  # DVC does not look at dvc.yaml itself
    if subprocess.run([*DVC, "repro", "--single-item", "--quiet", *again, "code"], check=False, **lifeline.tied()).returncode:
        return 1
    plan = planned(targets)
    total, running = len(plan.graph), dict[str, tuple[subprocess.Popen[bytes], float]]()
    if not total:
        print("everything is up to date")
    try:
        while len(plan.done) + len(plan.failed) < total:
            for name in plan.ready(running)[: jobs - len(running)]:
                running[name] = (start(name), time.monotonic())
            if not running:
                break
            for name in [name for name, (process, _) in running.items() if process.poll() is not None]:
                process, begun = running.pop(name)
                (plan.failed if process.returncode else plan.done).add(name)
                left = plan.to_go({other: at for other, (_, at) in running.items()}, jobs)
                say(f"stage {len(plan.done) + len(plan.failed)} of {total} · {name}", process.returncode, time.monotonic() - begun, left)
            time.sleep(0.2)
    except KeyboardInterrupt:
        print(f"stopped: {', '.join(sorted(running))}; what had ended is kept, the next run goes on from there", file=sys.stderr)
        return 130
    finally:
        stop(process for process, _ in running.values())
    return ended(plan)


def stop(processes: Iterable["subprocess.Popen[bytes]"]) -> None:
    """End what still runs; a stage ends with its DVC."""
    for process in (stopped := list(processes)):
        process.terminate()
    for process in stopped:
        process.wait()


def start(name: str) -> "subprocess.Popen[bytes]":
    """Start one stage; what it says goes to its log."""
    with (LOGS / f"{name.replace('@', '-')}.log").open("wb") as log:
        return subprocess.Popen([*DVC, "repro", "--single-item", name], stdout=log, stderr=subprocess.STDOUT, **lifeline.tied())


def say(what: str, status: int, took: float, left: float) -> None:
    """One line for a stage that has ended."""
    print(f"{what} · {'failed' if status else f'{took:.0f} s'} · {left / 60:.0f} min to go", flush=True)


def ended(plan: Plan) -> int:
    """Say what failed, where its notebook and its log lie, and what could not run for that; the exit status."""
    for name in sorted(plan.failed):
        file = name.replace("@", "-")
        print(f"failed: {name}; its notebook is {EXECUTED / file}.ipynb, what it said {LOGS / file}.log", file=sys.stderr)
    if missing := sorted(set(plan.graph) - plan.done - plan.failed):
        print(f"not run, since what they need failed: {', '.join(missing)}", file=sys.stderr)
    return 1 if plan.failed or missing else 0
