"""What docs/ says of ImageNet, speed and the controls, as measured: ``python -m benchmarks.sheets``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmarks import gpu_sheet
from regen_lib.study import paper
from regen_lib.study.params import load_params
from regen_lib.study.report.pages import write_pages
from regen_lib.study.titles import ATTACK_TITLES, DEFENSE_TITLES, TITLES

RESULTS, SAMPLE = Path("benchmarks/results"), Path("studies/imagenet_sample/metrics")
PAGES = {  # which blocks each has
    "docs/imagenet.md": ("sample", "memory", "cost"),
    "docs/controls.md": ("variants", "hardening", "patience", "budget"),
    "docs/speed.md": ("kernels", "speed"),
    "docs/first-steps.md": ("first_steps",),
}


def sample(metrics: Path, masked_bank: str) -> str:
    """Top-1, restoration and fooling ratio on real images; what Fig. 2 and 3 show there."""
    table = pd.read_csv(metrics / "real_images.csv").set_index(["attack", "defense"])
    lines = ["| attack | fooling ratio, undefended | top-1 | with units | restoration | with units |", "|---|---|---|---|---|---|"]
    for attack in table.index.unique("attack"):
        bare, ours = table.loc[(attack, "undefended")], table.loc[(attack, "ours")]
        spans = [f"{row.restoration:.3f} <sub>{row.ci_low:.3f}-{row.ci_high:.3f}</sub>" for row in (bare, ours)]
        ratios = f"{bare.fooling_ratio:.2f} | {bare.accuracy:.3f} | {ours.accuracy:.3f}"
        lines.append(f"| {ATTACK_TITLES[attack]} | {ratios} | {spans[0]} | {spans[1]} |")
    clean = table.clean_accuracy.groupby("defense").first()
    masked = pd.read_csv(metrics / "fig3.csv")
    first = masked[masked.depth == 1].pivot_table(index="order", columns="fraction", values="accuracy")
    spearman = pd.read_csv(metrics / "fig2.csv").groupby("layer", sort=False).spearman.first()
    images = int(table.images.iloc[0])
    return "\n".join(
        [
            f"ξ = {table.xi.iloc[0]:g}, not clipped; {images} images, clean top-1 {clean['undefended']:.3f}, "
            f"with units {clean['ours']:.3f}.",
            "",
            *lines,
            "",
            f"Fig. 2: Spearman's correlation of norm and observed noise {spearman.iloc[0]:.2f} in the first layer, "
            f"{spearman.iloc[1:].min():.2f} to {spearman.iloc[1:].max():.2f} deeper. Fig. 3, first layer, {masked.images.iloc[0]} images: "
            f"top-1 {first[0.0].iloc[0]:.3f} under {ATTACK_TITLES[masked_bank]}, half of the filters freed of noise: "
            f"ranked {first[0.5]['ranked']:.3f}, random {first[0.5]['random']:.3f}, "
            f"least vulnerable {first[0.5]['reversed']:.3f}.",
        ]
    )


def memory(table: pd.DataFrame) -> str:
    """Peak memory of each part."""
    head = [
        f"| {table.images.iloc[0]:,} JPEGs, {table.machine.iloc[0]} | own, GB | with the mapped file, GB | seconds |",
        "|---|---|---|---|",
    ]
    rows = table.to_dict("records")
    body = [f"| {r['work']} | {r['own_mb'] / 1000:.1f} | {r['with_mapped_mb'] / 1000:.1f} | {r['seconds']:.0f} |" for r in rows]
    return "\n".join(head + body)


def speed(tables: Sequence[pd.DataFrame]) -> str:
    """Every ratio beside what was asked for: a folded table a machine, with how many are met in its title."""
    parts = []
    for table in tables:
        versions = f"{table.machine.iloc[0]}, torch {table.torch.iloc[0]}, Python {table.python.iloc[0]}"
        lines = ["| what | against | ratio | asked | met |", "|---|---|---|---|---|"]
        rows = table.to_dict("records")
        lines += [f"| {r['part']}: {r['case']} | {r['against']} | {r['ratio']:.3g} | {r['asked']} | {r['met']} |" for r in rows]
        title = f"{versions}: {(table.met == 'yes').sum()} of {table.met.isin(['yes', 'no']).sum()} met"
        parts.append("\n".join([f"<details><summary>{title}</summary>", "", *lines, "", "</details>"]))
    return "\n\n".join(parts)


def cost(table: pd.DataFrame) -> str:
    """Hours of the ImageNet profile, projected."""
    per = "forward, ms | with the input's gradient, ms | a step of the units, ms"
    head = [f"| {table.device.iloc[0]} | multiply-adds | {per} | banks and tables, hours | units, hours |", "|---|---|---|---|---|---|---|"]
    body = []
    for row in table.to_dict("records"):
        times = " | ".join(f"{1000 * row[kind]:.0f}" for kind in ("forward", "gradient", "training"))
        hours = f"{row['forward_hours'] + row['gradient_hours']:,.0f} | {row['training_hours']:,.0f}"
        body.append(f"| {TITLES[row['network']]} | {row['million_multiply_adds'] / 1000:.2f} G | {times} | {hours} |")
    tail = f"Disk: {table.disk_gb.iloc[0]:.0f} GB of decoded images beside ILSVRC2012 itself. Memory: as above, for any number of images."
    return "\n".join([*head, *body, "", tail])


MOVED = 0.02  # of a fooling ratio: what changes an answer


def budget(table: pd.DataFrame) -> str:
    """Restoration of units and rivals against the share of their training's images."""
    shares = sorted(table.share.unique())
    head = [f"| {table.machine.iloc[0]} | " + " | ".join(f"{100 * share:.0f} % of the images" for share in shares) + " |"]
    lines = [*head, "|" + "---|" * (len(shares) + 1)]
    for defense, part in table.groupby("defense", sort=False):
        cells = []
        for share in shares:
            rows = part[part.share == share]
            worst = rows.loc[rows.restoration.idxmin()]
            spread = f"{worst.restoration:.3f} <sub>{worst.ci_low:.3f}-{worst.ci_high:.3f}</sub> on {TITLES[worst.network]}"
            cells.append(f"{rows.restoration.mean():.3f}, lowest {spread}")
        lines.append(f"| {DEFENSE_TITLES[str(defense)]}, {part.network.nunique()} networks | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"Mean restoration under UAPs (`tuning`), {int(table.images.iloc[0]):,} validation images."])


def hardening(table: pd.DataFrame, chosen: Mapping[str, Any]) -> str:
    """What Fig. 6's attacker reaches against units hardened with each share and number of rounds, seed by seed; ``chosen`` in bold."""
    limit = paper.number("fig6", "caffenet", "hardened", "uap")
    head = "| perturbed images | of them by the first bank | rounds | best fooling ratio, own images | validation images "
    head += f"| points of clean top-1 lost | at or under the paper's {limit:g} |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    keys = ["probability", "old_bank_share", "rounds"]
    settled = tuple(chosen[key] for key in keys)
    table = table.sort_values("seed").assign(lost=100 * (table.undefended - table.clean_accuracy))
    for key, part in table.groupby(keys):
        bold = "**" if key == settled else ""
        forms = {"fooling_own": ".2f", "fooling_ratio": ".2f", "lost": ".1f"}
        cells = " | ".join(" · ".join(f"{value:{form}}" for value in part[column]) for column, form in forms.items())
        held = f"{(part.fooling_own <= limit).sum()} of {len(part)}"
        lines.append("| " + " | ".join(f"{bold}{value:g}{bold}" for value in key) + f" | {cells} | {held} |")
    seeds = ", ".join(map(str, table.seed.unique()))
    where = f"{TITLES[table.network.iloc[0]]}, {int(table.images.iloc[0]):,} validation images, seeds {seeds}; {table.machine.iloc[0]}."
    taken = table[(table[keys] == pd.Series(settled, keys)).all(axis=1)]
    reached = f"at most {taken.fooling_own.max():.2f} on its own images, {taken.lost.mean():.1f} points of clean top-1 lost in the mean"
    return "\n".join([*lines, "", f"{where} In bold, what params.yaml has: {reached}."])


def patience(table: pd.DataFrame) -> str:
    """What white-box attackers reach with each effort, side by side: on their own images, and on validation images."""
    efforts = sorted(table.effort.unique())
    head = " | ".join(f"{effort:g} x" for effort in efforts)
    lines = [f"| network | attacked | attacker | own images, {head} | validation images, {head} | passes, {head} | late gain, {head} |"]
    lines.append("|---" * (3 + 4 * len(efforts)) + "|")
    forms = {"fooling_own": ".2f", "fooling_ratio": ".2f", "passes": "d", "late_gain": ".2f"}
    names = {"network": TITLES, "defense": DEFENSE_TITLES, "attack": ATTACK_TITLES}
    table = table.assign(**{key: table[key].map(titles) for key, titles in names.items()})
    for key, part in table.sort_values("effort", kind="stable").groupby(list(names), sort=False):
        cells = [f"{value:{form}}" for column, form in forms.items() for value in part[column]]
        lines.append(f"| {' | '.join([*map(str, key), *cells])} |")
    most = table.pivot(index=list(names), columns="effort", values=["fooling_own", "fooling_ratio"])
    own, unseen = ((most[column][efforts[-1]] - most[column][efforts[0]]) for column in ("fooling_own", "fooling_ratio"))
    moved = f"{(unseen.abs() > MOVED).sum()} of {len(unseen)} by more than {MOVED:g}"
    gains = f"{own.mean():+.3f} in the mean and {own.max():+.3f} at most on own images, {unseen.mean():+.3f} and {unseen.max():+.3f}"
    tail = f"{efforts[-1]:g} times the work adds {gains} on {int(table.images.iloc[0]):,} validation images"
    return "\n".join([*lines, "", f"{tail}, {moved}; {table.machine.iloc[0]}."])


FIRST = "as in the study"  # the row of each subject of variants.yaml that the others are held against


def variants(table: pd.DataFrame) -> str:
    """For each defence what one change does: means over networks, and on each the change of the restoration under unseen attacks."""
    attacked, keys = table.white_box.notna().any(), ["network", "seed"]
    head = ["clean top-1", "restoration, UAPs", "restoration, unseen attacks", "against the first row, by network", "top-1, worst unseen"]
    head += [*(["white-box"] if attacked else []), "weights", "training, CPU-s"]
    parts = []
    for about, rows in table.groupby("about", sort=False):
        lines = [f"| {about} | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
        first = rows[rows.variant == FIRST].set_index(keys).unseen
        for variant, part in rows.groupby("variant", sort=False):
            mean, moved = part.mean(numeric_only=True), part.set_index(keys).unseen - first
            shown = [f"{mean[key]:.3f}" for key in ("clean", "uaps")]
            shown += [f"{mean.unseen:.3f} <sub>±{(mean.high - mean.low) / 2:.3f}</sub>"]
            shown += [" · ".join(f"{value:+.3f}" for value in moved) if variant != FIRST else "", f"{mean.worst:.3f}"]
            shown += [*([known(mean.white_box)] if attacked else []), f"{mean.weights:,.0f}", f"{mean.cpu_seconds:.0f}"]
            lines.append(f"| {' | '.join([str(variant), *shown])} |")
        parts.append("\n".join(lines))
    networks = ", ".join(TITLES[str(name)] for name in table.network.unique())
    where = f"{networks}, {int(table.images.iloc[0]):,} validation images; networks of seed {', '.join(map(str, table.seed.unique()))}"
    return "\n\n".join([*parts, f"{where}; ± is half of a 95 % interval over images, on one network; {table.machine.iloc[0]}."])


def first_steps(table: pd.DataFrame) -> str:
    """What each reader does, how long it takes and when it is done, counted from the clone that all begin with."""
    clone, lines = table.seconds.iloc[0], ["| reader | what for | how | time | since the clone |", "|---|---|---|--:|--:|"]
    for reader, rows in table.groupby("reader", sort=False):
        since = rows.seconds.cumsum() + (clone if rows.index[0] else 0)
        for row, total in zip(rows.itertuples(), since, strict=True):
            how = " → ".join(f"`{part}`" for part in str(row.done).replace("|", r"\|").split(" → "))
            lines.append(f"| {reader} | {row.aim} | {how} | {row.seconds:,.0f} s | {total:,.0f} s |")
    return "\n".join([*lines, "", f"{table.machine.iloc[0]}."])


def known(value: float) -> str:
    """A number, or nothing where it was not measured."""
    return "" if pd.isna(value) else f"{value:.3f}"


def blocks() -> dict[str, str]:
    """Every block of :data:`PAGES`, from the tables in this folder."""
    params = load_params(Path("params.yaml"))
    return {
        "sample": sample(SAMPLE, yaml.safe_load(Path("studies/imagenet_sample/params.yaml").read_text())["masking"]["bank"]),
        "memory": memory(pd.read_csv(RESULTS / "memory.csv")),
        "cost": cost(pd.read_csv(RESULTS / "cost.csv")),
        "budget": budget(pd.read_csv(RESULTS / "budget.csv")),
        "hardening": hardening(pd.read_csv(RESULTS / "hardening.csv"), params["secondary"]["training"]),
        "variants": variants(pd.read_csv(RESULTS / "variants.csv")),
        "patience": patience(pd.read_csv(RESULTS / "patience.csv")),
        "first_steps": first_steps(pd.read_csv(RESULTS / "first_steps.csv")),
        "kernels": gpu_sheet.block(RESULTS),
        "speed": speed([pd.read_csv(path, keep_default_na=False) for path in sorted(RESULTS.glob("speed-*.csv"))]),
    }


if __name__ == "__main__":
    write_pages(PAGES, blocks(), "benchmarks.sheets")
