"""PRN+det's detector: scikit-learn's solution, and the same bytes whichever kernel NumPy's BLAS picks."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC

from regen_lib.defenses.prn_det import support_vector_machine
from tests.conftest import draw
from tests.repository import REPOSITORY

WORK = """
import hashlib, math
import numpy as np, threadpoolctl, torch
from torch import nn
from regen_lib.core.images import Images
from regen_lib.core.perturbations import Threat
from regen_lib.core.runtime import start
from regen_lib.attacks.random_signs import random_signs
from regen_lib.defenses._shared.base import TrainingData
from regen_lib.defenses.prn import prn
from regen_lib.defenses.prn_det import prn_det, train

start(1)
torch.manual_seed(0)
network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 28 * 28, 4)).eval()
images = Images(torch.randint(0, 256, (200, 3, 28, 28), dtype=torch.uint8), torch.arange(200) % 4)
bank = random_signs(network, images.pixels, Threat(math.inf, 60.0, 1.0), seed=0, count=3)
rectifier = prn(network, channels=3, maps=4, blocks=1)
detector = prn_det(network, channels=3, size=28, maps=4, blocks=1)
train(detector, TrainingData(images, bank, (), built_on=rectifier), None, seed=0, name="test", images=200)
assert detector.weight.abs().sum() > 0
print(*(pool["architecture"] for pool in threadpoolctl.threadpool_info() if pool["internal_api"] == "openblas"))
for array in (np.random.default_rng(0).normal(size=(300, 300)), detector.weight.numpy(), detector.bias.numpy()):
    print(hashlib.sha256((array @ array.T if array.ndim == 2 else array).tobytes()).hexdigest())
"""


def found(kernel: str) -> list[str]:
    """The kernels of OpenBLAS in a process that was told to use ``kernel``; hashes of a product in NumPy and of the detector."""
    environment = {**os.environ, "OPENBLAS_CORETYPE": kernel, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", WORK], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_detectors_bytes_do_not_follow_numpys_blas() -> None:
    (core, product, *detector), (other_core, other_product, *other) = found("Prescott"), found("Haswell")
    if core == other_core:
        pytest.skip(f"this BLAS has one kernel: {core or 'not OpenBLAS'}")
    assert product != other_product  # the kernels do differ
    assert detector == other


def test_the_detectors_line_is_scikit_learns() -> None:
    negative, positive = draw(60, 12, seed=1).double(), draw(90, 12, seed=2).double() + 0.5
    line = LinearSVC(C=0.01, dual=False, tol=1e-10, max_iter=10_000)
    line.fit(torch.cat([negative, positive]).numpy(), np.repeat([0, 1], (60, 90)))
    np.testing.assert_allclose(support_vector_machine(negative, positive), line.coef_[0], rtol=1e-4, atol=1e-6)
