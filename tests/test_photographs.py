"""Units that see a few of a network's classes: the objective without labels, shares of classes, images of other classes."""

import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from regen_lib.attacks import make
from regen_lib.attacks.spgd import spgd
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images, load_images
from regen_lib.core.perturbations import Threat
from regen_lib.data.sources import prepare
from regen_lib.evaluation.evaluate import evaluate
from regen_lib.study.tables.photographs import photographs
from regen_lib.training.noise import Noise
from regen_lib.training.objectives import CleanOutputs
from tests.suite import SEED, Known

ROW = {"attack": "spgd", "norm": "inf", "xi": 30, "target": 1.0, "split": "train", "start": 8, "options": {"passes": 2, "batch": 8}}


def test_clean_outputs_is_the_cross_entropy_of_two_softmaxes(linear: Callable[..., nn.Sequential], images: Images) -> None:
    network, defended = linear(4, 7), linear(4, 8)
    x, v = images.pixels[:5].float(), torch.rand(1, *images.pixels.shape[1:]) * 9
    noise = Noise(v, probability=1.0)
    found = CleanOutputs(network, defended, noise)(x, torch.zeros(5, dtype=torch.long), torch.Generator())
    rows = []
    for image in x:
        wanted, given = network(image[None])[0].double(), defended(image[None] + v)[0].double()
        p = (wanted - wanted.max()).exp() / (wanted - wanted.max()).exp().sum()
        rows.append(-float((p * (given - given.max() - (given - given.max()).exp().sum().log())).sum()))
    assert float(found) == pytest.approx(sum(rows) / 5, rel=1e-5)


def test_clean_outputs_does_not_look_at_labels(linear: Callable[..., nn.Sequential], images: Images) -> None:
    objective, x = CleanOutputs(linear(4, 7), linear(4, 8), None), images.pixels[:5].float()
    losses = [objective(x, torch.full((5,), label), torch.Generator()) for label in (0, 2)]
    assert torch.equal(*losses)


def test_members_of_a_bank_can_share_a_pool(network: nn.Module, images: Images) -> None:
    """Each is made from ``each`` images of the row's own, none twice, drawn for it: more in all than there are."""
    made = make(network, {"train": images}, {**ROW, "count": 3, "images": 40, "each": 24}, seed=5)
    alone = make(network, {"train": images}, {**ROW, "count": 1, "images": 40, "each": 24}, seed=5)
    assert len(made) == 3
    assert torch.equal(made.perturbations[0], alone.perturbations[0])
    assert not torch.equal(made.perturbations[0], made.perturbations[1])
    same = spgd(network, images.pixels[8:48], Threat(math.inf, 30.0, 1.0), seed=5, count=1, passes=1, batch=40)
    asked = {**ROW, "count": 1, "images": 40, "each": 40, "options": {"passes": 1, "batch": 40}}
    assert torch.allclose(make(network, {"train": images}, asked, seed=5).perturbations, same.perturbations, atol=1e-4)
    with pytest.raises(StudyError, match="each 41: only 40 images"):
        make(network, {"train": images}, {**ROW, "count": 1, "images": 40, "each": 41}, seed=5)


def test_shares_of_classes_are_counted(known: Known) -> None:
    """Against a loop over the predictions."""
    name = "one"
    network, bank, among = known.networks[name], known.banks[name, "uap"], torch.tensor([0, 3])
    clean = {"undefended": network(known.images.pixels.float()).argmax(1)}
    table = evaluate("t", name, {"undefended": network}, clean, {"uap": bank}, known.images, seed=SEED, among=among)
    choice = known.choice("uap", len(bank))
    hit = [
        int(network(image[None].float() + bank.perturbations[k])[0].argmax()) in (0, 3)
        for image, k in zip(known.images.pixels, choice, strict=True)
    ]
    assert table.among[0] == pytest.approx(sum(hit) / len(hit))
    assert table.clean_among[0] == pytest.approx(sum(int(z) in (0, 3) for z in clean["undefended"]) / len(known.images))


def test_photographs_of_other_classes_have_rows_of_their_own(known: Known) -> None:
    some = known.images.labels < 2
    seen = Images(known.images.pixels[some], known.images.labels[some])
    others = Images(known.images.pixels[~some], known.images.labels[~some])
    splits = {"train": seen, "test": seen, "others": others}
    variants = {"one": ["units1"]}  # trained on one of the networks
    table = photographs(known.data, ["one", "two"], splits, ["uap", "spgd"], variants, images=20, seed=SEED)
    assert set(table[table.network == "two"].defense) == {"undefended", "ours"}
    table = table[table.network == "one"]
    assert len(table) == 2 * 3 * 2
    assert set(table.defense) == {"undefended", "ours", "units1"}
    row = table[(table.shown == "others") & (table.defense == "undefended")].iloc[0]
    found = known.networks["one"](others.pixels[:20].float()).argmax(1)
    assert row.clean_accuracy == pytest.approx(float((found == others.labels[:20]).double().mean()))
    assert row.clean_among == pytest.approx(float((found < 2).double().mean()))
    assert pd.unique(table[table.shown == "others"].images).tolist() == [20]


def test_small_photographs_stay_as_they_are_and_others_are_a_split(tmp_path: Path) -> None:
    """``side`` 224 and 224 x 224 pixels: not one value changes."""
    drawn: dict[str, Tensor] = {}
    for tree, count in (("some", 6), ("more", 2)):
        for index in range(count):
            pixels = torch.randint(0, 256, (224, 224, 3), generator=torch.Generator().manual_seed(index + len(tree)), dtype=torch.uint8)
            path = tmp_path / tree / f"n0{index % 2}" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.numpy()).save(path)
            drawn[f"{tree}{index}"] = pixels.permute(2, 0, 1)
    trees = {"train": "some", "validation": "some", "test": "some", "others": "more"}
    target = tmp_path / "images.safetensors"
    prepare("image_folder", tmp_path, target, validation=2, seed=0, trees=trees, counts={"train": 2, "test": 2, "others": 2}, side=224)
    splits = load_images(target)
    assert {name: len(split) for name, split in splits.items()} == {"train": 2, "validation": 2, "test": 2, "others": 2}
    wanted = [drawn["more0"], drawn["more1"]]
    assert all(any(torch.equal(found, pixels) for pixels in wanted) for found in splits["others"].pixels)
