"""Attacks and Algorithm 1 against what others would run: the Adversarial Robustness Toolbox, and plain loops."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import plain
from benchmarks.timing import Row, medians, once, row
from regen_lib.attacks.sga import sga
from regen_lib.attacks.spgd import spgd
from regen_lib.attacks.uap import uap
from regen_lib.core.errors import StudyError
from regen_lib.core.images import load_images
from regen_lib.core.perturbations import Threat
from regen_lib.core.seeding import generator
from regen_lib.networks import load_network
from regen_lib.regeneration.synthesis import synthesize, walk

PEERS = Path("build/peers")
ART = "adversarial-robustness-toolbox==1.20.1"
NETWORK, IMAGES = Path("data/networks/vgg16.safetensors"), Path("data/images.safetensors")
XI, TARGET, CLASSES = 60.0, 0.8, 3


def perturbations(count: int, size: int) -> Tensor:
    """As the authors' UAPs: l-inf norm 10, nearly orthogonal, l2 norms within 2 % of each other: ``[count, 3, size, size]``."""
    signs = torch.randint(2, (count, 3, size, size), generator=generator(0, "bench", count, size)) * 2.0 - 1
    return signs * torch.linspace(9.83, 10, count).view(-1, 1, 1, 1)


def made(bank: Tensor, count: int) -> Tensor:
    """Algorithm 1's perturbations, as the study makes them."""
    return synthesize(bank, walk(bank, count, rng=generator(0, "walks")))


def synthesis(device: torch.device) -> Iterator[Row]:
    """K = 25, 2,000 perturbations of 3x224x224; of the literal loop the first hundred, times 20: walks differ in length."""
    bank, count, part, case = perturbations(25, 224), 2000, 100, "K 25, 2,000 of 3x224x224"
    coefficients, values = torch.rand(count, 25), bank.flatten(1)
    result = torch.mm(coefficients, values)
    works = {
        "ours": lambda: made(bank, count),
        "literal": lambda: plain.algorithm1(bank, part, np.random.default_rng(0)),
        "written": lambda: torch.ones(count, *bank.shape[1:]),
        "product": lambda: torch.mm(coefficients, values, out=result),
    }
    taken = medians(works, device)
    yield row("Algorithm 1", case, taken["ours"], taken["literal"] * count / part, "the literal loop", ">50")
    asked = "<1.5" if device.type == "cuda" else "<3"
    yield row("Algorithm 1", case, taken["ours"], taken["written"], "writing the result", asked)
    yield row("Algorithm 1", case, taken["ours"], taken["product"], "its matrix product, over a result that is there", "")


def trained(count: int) -> tuple[torch.nn.Module, Tensor]:
    """The study's VGG-16 and ``count`` of its validation images; :class:`StudyError` where the study has not been run."""
    if not NETWORK.is_file():
        raise StudyError(f"{NETWORK} is missing: run `make repro` first, or `dvc repro uaps@vgg16`")
    return load_network(NETWORK), load_images(IMAGES)["validation"].first(count).pixels


def art(count: int) -> dict[str, float]:
    """The toolbox's seconds and fooling ratio, in a process with the toolbox, which is installed beside the project if need be."""
    if not (PEERS / "art").is_dir():
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(PEERS), ART], check=True)
    command = [sys.executable, "-m", "benchmarks.peer_art", NETWORK, IMAGES, count, XI, TARGET, CLASSES]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PEERS), "."]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([str(part) for part in command], env=environment, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def peers(device: torch.device, count: int = 500, repeats: int = 5) -> Iterator[Row]:
    """UAP to the same fooling ratio on the same network and images, both medians over five, each in turn."""
    network, pixels = trained(count)
    threat, ours, theirs = Threat(math.inf, XI, TARGET), [], []
    for turn in range(repeats):
        found = art(count)
        theirs.append((found["seconds"], found["fooling"]))
        reached: list[float] = []

        def work(seed: int = turn, reached: list[float] = reached) -> None:
            reached.append(uap(network, pixels, threat, seed=seed, count=1, passes=40, batch=64, classes=CLASSES).fooling[0])

        ours.append((once(work, device), reached[0]))
    (mine, fools), (others, fool) = np.median(ours, axis=0), np.median(theirs, axis=0)
    case = f"UAP, VGG-16, {count} images, fooling ratio {fools:.2f} (toolbox {fool:.2f})"
    yield row("attack", case, float(mine), float(others), "Adversarial Robustness Toolbox", ">20")


def loops(device: torch.device, count: int = 5, each: int = 1000) -> Iterator[Row]:
    """Five perturbations at once against one after the other, same passes and batches."""
    network, pixels = trained(count * each)
    threat, parts = Threat(math.inf, XI, 1.0), pixels.split(each)
    small = {"passes": 1, "batch": 250, "inner": 10, "repeats": 2}
    works = {
        "spgd": lambda: spgd(network, pixels, threat, seed=0, count=count, passes=2, batch=128),
        "plain spgd": lambda: [plain.spgd(network, part, XI, passes=2, batch=128) for part in parts],
        "sga": lambda: sga(network, pixels, threat, seed=0, count=count, **small),
        "plain sga": lambda: [plain.sga(network, part, XI, **small) for part in parts],
    }
    taken = medians(works, device)
    for name, title in (("spgd", "sPGD"), ("sga", "SGA")):
        yield row("attack", f"{title}, VGG-16, 5 x {each:,} images", taken[name], taken[f"plain {name}"], "its plain loop", "")
