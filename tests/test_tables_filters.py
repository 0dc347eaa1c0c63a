"""Fig. 2, 3 and Algorithm 1's table: against loops over a study made by hand."""

import copy
import math

import pandas as pd
import pytest
import torch

from regen_lib.core.perturbations import Threat
from regen_lib.core.seeding import generator
from regen_lib.core.surgery import find_conv
from regen_lib.networks.blocks import initialise
from regen_lib.regeneration.synthesis import diverse, walk
from regen_lib.study.tables import masking
from regen_lib.study.tables.filters import before_training, filter_table
from regen_lib.study.tables.masking import masking_table, restored
from regen_lib.study.tables.synthesis import describe
from tests.suite import LAYERS, SEED, Known, share


def test_the_network_before_training_has_the_weights_it_was_drawn_with(known: Known) -> None:
    """Fig. 2 sets the norms beside those of notebook 00b's draw, in which conv1 alone may have another scale."""
    network = known.networks["one"]
    start = initialise(copy.deepcopy(network), generator(SEED, "weights", "one"), conv1_scale=0.1)
    before = copy.deepcopy(network.state_dict())
    drawn = before_training(network, "one", seed=SEED)
    torch.testing.assert_close(find_conv(drawn, LAYERS[0]).weight, find_conv(start, LAYERS[0]).weight * 10)
    assert torch.equal(find_conv(drawn, LAYERS[1]).weight, find_conv(start, LAYERS[1]).weight)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_fig_2_by_hand(known: Known) -> None:
    """Noise of a filter is the largest change of its output; Eq. 2 bounds it by norm times the largest change of the input."""
    network, x, v = known.networks["one"], known.images.pixels[:30].float(), known.banks["one", "uap"].perturbations[:1]
    drawn = copy.deepcopy(network)
    find_conv(drawn, "conv1_1").weight.data *= 3
    table = filter_table("one", network, LAYERS, known.images.pixels[:30], v, drawn)
    for depth, layer in enumerate(LAYERS, start=1):
        conv, rows = find_conv(network, layer), table[table.layer == layer]
        before = network[: list(dict(network.named_children())).index(layer)]
        r = before(x + v) - before(x)
        bare = copy.deepcopy(conv)
        bare.bias = None
        noise = bare(r).abs().flatten(2).amax(2)
        norms = [float(conv.weight[m].abs().sum()) for m in range(conv.out_channels)]
        assert list(rows["filter"]) == sorted(range(len(norms)), key=lambda m: -norms[m])
        assert list(rows.position) == list(range(1, len(norms) + 1))
        assert set(rows.depth) == {depth}
        for row in rows.itertuples(index=False):
            m = row.filter
            bound = [norms[m] * float(one.abs().max()) for one in r]
            assert row.norm == pytest.approx(norms[m], rel=1e-5)
            assert row.drawn == pytest.approx(norms[m] * (3 if depth == 1 else 1), rel=1e-5)
            assert row.bound == pytest.approx(max(bound), rel=1e-5)
            assert row.observed == pytest.approx(float(noise[:, m].max()), rel=1e-4)
            assert row.tightest == pytest.approx(max(float(n) / b for n, b in zip(noise[:, m], bound, strict=True)), rel=1e-4)


def masked_top1(known: Known, layer: str, channels: list[int], choice: torch.Tensor) -> float:
    """Top-1 under UAPs, with the listed filters of a layer as they are for the clean images."""
    network, x, v = known.networks["one"], known.images.pixels.float(), known.banks["one", "uap"].perturbations
    cut = list(dict(network.named_children())).index(layer) + 1
    features = network[:cut](x + v[choice])
    features[:, channels] = network[:cut](x)[:, channels]
    return share(network[cut:](features).argmax(1) == known.images.labels)


def test_fig_3_masks_ranked_reversed_and_random_filters(known: Known) -> None:
    bank = known.banks["one", "uap"]
    table = masking_table("one", known.networks["one"], LAYERS, [0.0, 0.5, 1.0], known.images, bank, seed=SEED)
    choice = torch.randint(3, (len(known.images),), generator=generator(SEED, "masking", "one"))
    for depth, layer in enumerate(LAYERS, start=1):
        conv = find_conv(known.networks["one"], layer)
        norms, count = conv.weight.abs().flatten(1).sum(1), conv.out_channels
        ranked = sorted(range(count), key=lambda m: -float(norms[m]))
        repeats = 3 if depth == 1 else 1  # random orders of a first layer are averaged over three
        random = [torch.randperm(count, generator=generator(SEED, "one", layer, i)).tolist() for i in range(repeats)]
        for order, draws in (("ranked", [ranked]), ("reversed", [ranked[::-1]]), ("random", random)):
            for fraction in (0.0, 0.5, 1.0):
                row = table[(table.layer == layer) & (table.order == order) & (table.fraction == fraction)].iloc[0]
                expected = [masked_top1(known, layer, filters[: round(fraction * count)], choice) for filters in draws]
                assert row.accuracy == pytest.approx(sum(expected) / len(expected))
                assert row.ci_low < row.accuracy < row.ci_high
                assert (row.depth, row.images, row.xi) == (depth, len(known.images), 60.0)
                assert row.clean == pytest.approx(share(known.hits(known.networks["one"])))
    assert len(table) == 2 * 3 * 3
    assert masking.DRAWS == 3


def test_the_share_that_masking_restores_by_hand() -> None:
    """Undone: .2 of a clean .8; ranked .65 gives back three quarters of the loss, random .5 half; the deeper layer does not count."""
    columns = ["network", "depth", "order", "fraction", "accuracy", "clean"]
    rows = [("n", 1, order, 0.0, 0.2, 0.8) for order in ("ranked", "random")]
    rows += [
        ("n", 1, "ranked", 0.5, 0.65, 0.8),
        ("n", 1, "random", 0.5, 0.5, 0.8),
        ("n", 2, "ranked", 0.5, 0.8, 0.8),
        ("n", 2, "ranked", 0.0, 0.1, 0.8),
    ]
    table = pd.DataFrame(rows, columns=columns).assign(ci_low=lambda t: t.accuracy - 0.03, ci_high=lambda t: t.accuracy + 0.06)
    found = restored(table, 0.5).set_index("order")
    assert found.restored.to_dict() == pytest.approx({"ranked": 0.75, "random": 0.5})
    assert found.ci_low.to_dict() == pytest.approx({"ranked": 0.7, "random": 0.45})
    assert found.ci_high.to_dict() == pytest.approx({"ranked": 0.85, "random": 0.6})


def nearest(v: torch.Tensor, members: torch.Tensor) -> float:
    """The largest absolute cosine with a member."""
    return max(abs(float(v.flatten() @ m.flatten())) / float(v.norm() * m.norm()) for m in members)


def test_what_algorithm_1_makes_row_by_row() -> None:
    bank = torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(1)) * torch.linspace(8, 12, 5).view(-1, 1, 1, 1)
    table = describe(bank, Threat(math.inf, 90.0), 12, seed=2, name="net", eta_scale=0.9)
    paper, other = table[table.method == "paper"], table[table.method == "diverse"].reset_index()
    walks = walk(bank, 12, rng=generator(2, "synthesis", "net", "paper"), eta_scale=0.9)
    made = diverse(bank, 12, Threat(math.inf, 90.0), rng=generator(2, "synthesis", "net", "diverse"))
    for i, row in enumerate(paper.itertuples(index=False)):
        c = [float(value) for value in walks.coefficients[i]]
        v = sum(value * member for value, member in zip(c, bank, strict=True))
        assert row.steps == int(walks.steps[i])
        assert row.mixed == pytest.approx(sum(c) ** 2 / sum(value**2 for value in c))
        assert row.cosine == pytest.approx(nearest(v, bank), rel=1e-4)
        assert other.cosine[i] == pytest.approx(nearest(made[i], bank), rel=1e-4)
    assert set(table.network) == {"net"}
    assert other.steps.isna().all()
    assert paper.mixed.max() > 1.05
