"""The natural plain forms of what regen_lib does at once: one walk, one perturbation at a time, as papers print them."""

import numpy as np
import torch
from torch import Tensor, nn


def algorithm1(bank: Tensor, count: int, rng: np.random.Generator) -> np.ndarray:
    """Algorithm 1, line by line, in float64 as the authors' arrays are: ``count`` perturbations from ``bank`` ``[K, C, H, W]``."""
    members = bank.double().numpy(force=True)
    eta = min(np.linalg.norm(v) for v in members)
    made = []
    for _ in range(count):
        v = np.zeros_like(members[0])
        while np.linalg.norm(v) <= eta:
            alpha = rng.random()
            v = alpha * members[rng.integers(len(members))] + (1 - alpha) * v
        made.append(v)
    return np.stack(made)


def gradient(network: nn.Module, x: Tensor, labels: Tensor, v: Tensor) -> Tensor:
    """The gradient of the mean clipped cross-entropy by one perturbation ``[1, C, H, W]``."""
    leaf = v.clone().requires_grad_()
    losses = nn.functional.cross_entropy(network(x + leaf), labels, reduction="none").clamp_max(9)
    return torch.autograd.grad(losses.mean(), leaf)[0]


def spgd(network: nn.Module, pixels: Tensor, xi: float, passes: int, batch: int) -> Tensor:
    """sPGD: sign steps of xi / 10 over mini-batches, one perturbation; the fooling ratio is looked at after each pass."""
    x, v = pixels.float(), torch.zeros(1, *pixels.shape[1:])
    with torch.no_grad():
        clean = network(x).argmax(1)
    for _ in range(passes):
        for index in torch.randperm(len(x)).split(batch):
            v = (v + 0.1 * xi * gradient(network, x[index], clean[index], v).sign()).clamp(-xi, xi)
        with torch.no_grad():
            (network(x + v).argmax(1) != clean).float().mean().item()
    return v


def sga(network: nn.Module, pixels: Tensor, xi: float, passes: int, batch: int, inner: int, repeats: int) -> Tensor:
    """SGA: gradients of small inner batches are added up along a trial walk, then one step."""
    x, v = pixels.float(), torch.zeros(1, *pixels.shape[1:])
    with torch.no_grad():
        clean = network(x).argmax(1)
    for _ in range(passes):
        for chosen in torch.randperm(len(x)).split(batch):
            trial, total = v, torch.zeros_like(v)
            for _ in range(repeats):
                for index in chosen[torch.randperm(len(chosen))].split(inner):
                    slope = gradient(network, x[index], clean[index], trial)
                    trial, total = (trial + 0.1 * xi * slope.sign()).clamp(-xi, xi), total + slope
            v = (v + 0.1 * xi * total.sign()).clamp(-xi, xi)
        with torch.no_grad():
            (network(x + v).argmax(1) != clean).float().mean().item()
    return v
