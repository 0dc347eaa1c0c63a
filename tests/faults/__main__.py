"""``python -m tests.faults``: every fault, one attempt each, and the table of what held.

Exit status 1 where one fails. ``--only TEXT``: those with this text in their kind and name. ``--share SECONDS``: some of every kind,
as many as take about so much CPU time. Kinds that are tried whole get new rows in ``tests/faults/table.csv`` and in ``docs/faults.md``.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.faults.campaign import every, keep, settle, share, table
from tests.faults.fault import Fault, Verdict
from tests.faults.runner import run


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="python -m tests.faults", description="Faults on purpose: which of them does the study hold against?"
    )
    options.add_argument("--only", nargs="+", default=[""], metavar="TEXT", help="faults with one of these texts in their `kind: name`")
    options.add_argument("--share", type=float, metavar="SECONDS", help="some of every kind, for about so much CPU time")
    options.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at once (default: one per core)")
    options.add_argument("--seed", type=int, default=0, help="draws the places that are damaged (default: 0, as in the table)")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    options = parser().parse_args(arguments)
    settle()
    everything = list(every(options.seed))
    faults = [fault for fault in everything if any(text in f"{fault.kind}: {fault.name}" for text in options.only)]
    faults = share(faults, options.share) if options.share else faults
    if not faults:
        print(f"error: no fault has {' or '.join(options.only)} in its kind or name", file=sys.stderr)
        return 2
    begun, found = time.monotonic(), list[tuple[Fault, Verdict]]()
    for fault, verdict in run(faults, options.jobs):
        found.append((fault, verdict))
        if not verdict.held:
            print(f"{verdict.outcome:9s} {fault.kind}: {fault.name}: {verdict.said}", flush=True)
        if len(found) % 100 == 0:
            print(f"{len(found)} of {len(faults)}, {time.monotonic() - begun:.0f} s", flush=True)
    if options.seed == 0:
        keep(found, everything)
    return summed_up(found)


def summed_up(found: Sequence[tuple[Fault, Verdict]]) -> int:
    """Print the table; the exit status."""
    rows = table(found)
    print(rows.to_string(index=False))
    failed = Counter(verdict.outcome for _, verdict in found if not verdict.held)
    print(f"{len(found)} tried, {sum(failed.values())} failed", ", ".join(f"{count} {outcome}" for outcome, count in failed.most_common()))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
