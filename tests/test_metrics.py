"""Eq. 9 by hand, intervals against SciPy, the evaluation loop against plain indexing."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from regen_lib.attacks.random_signs import random_signs
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.core.inference import draw, perturb, predict, top1
from regen_lib.core.metrics import fooling_ratio, proportion_interval, restoration
from regen_lib.core.perturbations import Threat
from regen_lib.core.seeding import generator
from regen_lib.evaluation.banks import summarise
from regen_lib.evaluation.evaluate import COLUMNS, evaluate
from regen_lib.networks.task import describe


def flags(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.bool)


def test_equation_9_by_hand() -> None:
    """Baseline 4 of 5; defended 4 of 5 clean and 2 of 5 perturbed: (0.8 + 0.4) / 2 / 0.8 = 0.75."""
    ratio, low, high = restoration(flags(1, 1, 1, 1, 0), flags(1, 1, 1, 0, 1), flags(1, 0, 0, 0, 1))
    assert ratio == pytest.approx(0.75)
    assert low < 0.75 < high


def test_a_wholly_fooled_network_scores_a_half() -> None:
    clean = flags(*([1] * 9 + [0]))
    assert restoration(clean, clean, flags(*[0] * 10))[0] == pytest.approx(0.5)


def test_restoration_interval_against_the_bootstrap() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(3000) < 0.9
    clean, hit = base & (rng.random(3000) < 0.97), base & (rng.random(3000) < 0.8)
    _, low, high = restoration(*(torch.from_numpy(a) for a in (base, clean, hit)))
    kept = (clean.astype(float) + hit) / 2
    boot = stats.bootstrap((kept, base), lambda k, b: k.mean() / b.mean(), paired=True, vectorized=False, n_resamples=2000, random_state=1)
    assert (low, high) == pytest.approx(tuple(boot.confidence_interval), abs=0.002)


def test_no_denominator() -> None:
    with pytest.raises(StudyError, match="no image correctly"):
        restoration(flags(0, 0), flags(1, 1), flags(1, 1))


@pytest.mark.parametrize(("hits", "trials"), [(0, 10), (7, 10), (10, 10), (812, 1000)])
def test_proportion_interval_is_wilsons(hits: int, trials: int) -> None:
    expected = stats.binomtest(hits, trials).proportion_ci(method="wilson")
    assert proportion_interval(hits, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_interval_over_nothing() -> None:
    with pytest.raises(StudyError, match="at least one"):
        proportion_interval(0, 0)


def test_fooling_ratio_counts_changes() -> None:
    assert fooling_ratio(torch.tensor([1, 2, 3, 4]), torch.tensor([1, 0, 3, 0])) == 0.5


def test_perturb_adds_the_chosen_one_and_clips_on_request() -> None:
    pixels = torch.tensor([10, 250], dtype=torch.uint8).view(2, 1, 1, 1)
    v = torch.tensor([20.0, -30.0]).view(2, 1, 1, 1)
    assert perturb(pixels, v, torch.tensor([1, 0])).flatten().tolist() == [-20.0, 270.0]
    assert perturb(pixels, v, torch.tensor([1, 0]), clip=True).flatten().tolist() == [0.0, 255.0]


def test_predict_in_batches_is_predict_at_once(network: nn.Module, images: Images) -> None:
    many = Images(images.pixels.repeat(15, 1, 1, 1), images.labels.repeat(15))  # more than one batch
    v, choice = torch.randn(3, 1, 12, 12, generator=generator(0)) * 30, draw(len(many), 3, generator(1))
    assert torch.equal(predict(network, many.pixels, v, choice), network(many.pixels.float() + v[choice]).argmax(1))
    assert top1(network, many) == pytest.approx(float((network(many.pixels.float()).argmax(1) == many.labels).float().mean()))


def test_evaluate_is_the_double_loop(network: nn.Module, images: Images) -> None:
    banks = {str(xi): random_signs(network, images.pixels, Threat(float("inf"), xi), seed=0, count=3) for xi in (20.0, 80.0)}
    clean_predictions = {"undefended": predict(network, images.pixels)}
    table = evaluate("2", "vgg16", {"undefended": network}, clean_predictions, banks, images, seed=7)
    assert tuple(table.columns) == COLUMNS
    row = table.iloc[1]
    which = draw(len(images), 3, generator(7, "evaluation", "80.0"))
    hits = network(images.pixels.float() + banks["80.0"].perturbations[which]).argmax(1) == images.labels
    assert row.accuracy == pytest.approx(float(hits.float().mean()))
    clean = top1(network, images)
    assert row.restoration == pytest.approx((clean + row.accuracy) / 2 / clean)
    assert row.ci_low < row.restoration < row.ci_high
    summary = summarise(banks["80.0"], network, images, clean_predictions["undefended"])
    carried = images.pixels.float() + banks["80.0"].perturbations.repeat_interleave(len(images) // 3, dim=0)
    fooled = (network(carried).argmax(1) != clean_predictions["undefended"]).double().view(3, -1).mean(1)
    assert (summary["fooling_unseen"], summary["fooling_unseen_min"]) == pytest.approx((float(fooled.mean()), float(fooled.min())))
    assert summary["xi_measured"] == 80


def test_describe_against_numpy(images: Images) -> None:
    task = describe(images, 4)
    assert task.mean[0] == pytest.approx(images.pixels.numpy().mean())
    assert task.std[0] == pytest.approx(images.pixels.numpy().std(ddof=1))
    assert task.shape == (1, 12, 12)
