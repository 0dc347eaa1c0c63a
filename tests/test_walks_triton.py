"""Algorithm 1's walks in Triton, interpreted where there is no GPU, against plain torch; when they are taken; that they compile."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from regen_lib.regeneration import synthesis
from tests.conftest import rng
from tests.repository import REPOSITORY

walks_gpu = pytest.importorskip("benchmarks.walks_gpu", exc_type=ImportError)  # where Triton is not installed
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(("count", "members", "most"), [(3, 1, 4), (12, 5, 30), (40, 25, 8)])
@pytest.mark.parametrize("form", ["triton", "dense"])
def test_walks_go_the_same_way(form: str, count: int, members: int, most: int) -> None:
    """Those that the benchmark compiles, too."""
    gram, *mine, alpha, member, limit = (t.to(DEVICE) for t in walks_gpu.drawn(count, members, most, rng(), ends=True))
    theirs = [t.clone() for t in mine]
    advance = walks_gpu.walks_triton.advance if form == "triton" else walks_gpu.dense(walks_gpu.dense_step)
    for _ in range(2):  # the second call goes on where the first stopped
        advance(gram, *mine, alpha, member, limit)
        synthesis.step_by_step(gram, *theirs, alpha, member, limit)  # type: ignore[call-arg]
        for found, expected in zip(mine, theirs, strict=True):
            torch.testing.assert_close(found, expected, rtol=walks_gpu.CLOSE, atol=walks_gpu.CLOSE)
    assert len(set(theirs[2].tolist())) > 1 or members == 1


def test_walks_carry_the_products() -> None:
    """What is carried along is G c, and a walk that is past the limit stands still."""
    gram, c, u, steps, alpha, member, limit = walks_gpu.drawn(12, 5, 30, rng(), ends=True)
    synthesis.advance(gram, c, u, steps, alpha, member, limit)
    torch.testing.assert_close(u, c @ gram)
    ended = synthesis.past(c, u, limit)
    assert bool(ended.any())
    before = c.clone(), steps.clone()
    synthesis.advance(gram, c, u, steps, alpha, member, limit)
    assert torch.equal(c[ended], before[0][ended])
    assert torch.equal(steps[ended], before[1][ended])


def test_triton_is_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(walks_gpu.walks_triton, "advance", lambda *given: taken.append("triton"))
    monkeypatch.setattr(synthesis, "step_by_step", lambda *given: taken.append("torch"))
    for on_gpu, there in ((False, True), (True, False), (True, True)):
        monkeypatch.setattr(synthesis, "TRITON", there)
        synthesis.advance(None, SimpleNamespace(is_cuda=on_gpu), *[None] * 5)
    assert taken == ["torch", "torch", "triton"]


def test_it_compiles_for_an_h100(tmp_path: Path) -> None:
    """The interpreter takes what the compiler does not, so that passing in it is not enough."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TRITON_")}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    command = [sys.executable, "-m", "tests.compile_work"]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"launches": 2, "spilled": 0}
