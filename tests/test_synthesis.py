"""Algorithm 1 in coefficients against the literal loop on the same draws."""

import math

import pytest
import torch

from regen_lib.core.errors import StudyError
from regen_lib.core.perturbations import Threat
from regen_lib.regeneration.synthesis import diverse, draws, make, nearest_cosine, synthesize, threshold, walk
from regen_lib.study.tables.synthesis import describe
from tests.conftest import draw


@pytest.mark.parametrize("eta_scale", [1.0, 0.7])
def test_walks_equal_the_literal_loop(eta_scale: float) -> None:
    bank = draw(6, 1, 4, 5) * torch.linspace(20, 30, 6).view(-1, 1, 1, 1)
    walks = walk(bank, 15, rng=torch.Generator().manual_seed(2), eta_scale=eta_scale)
    made = synthesize(bank, walks)
    eta = eta_scale * min(float(v.double().norm()) for v in bank)
    rng = torch.Generator().manual_seed(2)
    sequence = [draws(15, 6, rng) for _ in range(int(walks.steps.max()))]
    for i in range(15):
        v, steps = torch.zeros(1, 4, 5, dtype=torch.float64), 0
        while float(v.norm()) <= eta:
            alpha, member = sequence[steps]
            v = alpha[i] * bank[member[i]].double() + (1 - alpha[i]) * v
            steps += 1
        assert steps == int(walks.steps[i])
        torch.testing.assert_close(made[i].double(), v, rtol=1e-4, atol=1e-4)


def test_walks_stay_convex_and_within_the_bound() -> None:
    bank = draw(5, 1, 6, 6).sign() * 10 * torch.tensor([1, 0.9, 0.8, 0.95, 0.7]).view(-1, 1, 1, 1)
    walks = walk(bank, 200, rng=torch.Generator().manual_seed(0))
    assert (walks.coefficients >= 0).all()
    assert (walks.coefficients.sum(1) <= 1 + 1e-12).all()
    made = synthesize(bank, walks)
    assert float(made.abs().max()) <= 10 * (1 + 1e-6)
    assert (made.flatten(1).norm(dim=1) > threshold(bank) * (1 - 1e-6)).all()
    assert ((walks.mixed() >= 1 - 1e-9) & (walks.mixed() <= 5)).all()


def test_equal_norms_can_never_stop() -> None:
    bank = torch.eye(4).view(4, 1, 2, 2) * 10
    with pytest.raises(StudyError, match=r"eta_scale below 1"):
        walk(bank, 3, rng=torch.Generator(), max_steps=500)
    assert len(walk(bank, 3, rng=torch.Generator(), eta_scale=0.8).steps) == 3


@pytest.mark.parametrize("threat", [Threat(math.inf, 10.0), Threat(2, 60.0)])
def test_diverse_keeps_the_threat_and_is_no_copy(threat: Threat) -> None:
    bank = threat.project(draw(8, 1, 6, 6) * 30)
    made = diverse(bank, 100, threat, rng=torch.Generator().manual_seed(0))
    assert (threat.size(made) <= threat.xi * (1 + 1e-5)).all()
    assert float(made.flatten(1).norm(dim=1).min()) > 0.7 * float(bank.flatten(1).norm(dim=1).min())
    assert float(nearest_cosine(made, bank).median()) < 0.9


def test_nearest_cosine_by_hand() -> None:
    bank = torch.tensor([[1.0, 0], [0, 1]]).view(2, 1, 1, 2)
    found = nearest_cosine(torch.tensor([[3.0, 4], [-5, 0]]).view(2, 1, 1, 2), bank)
    torch.testing.assert_close(found, torch.tensor([0.8, 1.0]))


def test_make_and_describe() -> None:
    bank, threat = draw(6, 1, 4, 4) * 10, Threat(math.inf, 50.0)
    assert make("paper", bank, threat, 7, seed=0, name="net").shape == (7, 1, 4, 4)
    table = describe(bank, threat, 7, seed=0, name="net")
    assert table.groupby("method").size().to_dict() == {"paper": 7, "diverse": 7}
    with pytest.raises(StudyError, match="choose paper or diverse"):
        make("random", bank, threat, 7, seed=0, name="net")
