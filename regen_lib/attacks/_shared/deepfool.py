"""DeepFool (Moosavi-Dezfooli et al., CVPR 2016), over a batch: the step that UAP repeats."""

import torch
from torch import Tensor, nn

OVERSHOOT = 0.02
MAX_STEPS = 10
TINY = 1e-12


def boundary_gradients(network: nn.Module, x: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Logits ``[N, classes]`` at ``x``, and the gradients ``[k-1, N, C, H, W]`` of ``z[classes[:, j]] - z[classes[:, 0]]``.

    ``classes`` is ``[N, k]``, the label first. One forward. On a GPU the gradients come from one batched backward; on a CPU
    from k - 1 backwards through the one graph, which took half the time there (CaffeNet, 256 images, k = 5).
    """
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        outputs = network(x)
        chosen = outputs.gather(1, classes)
        chosen = (chosen[:, 1:] - chosen[:, :1]).sum(0)  # [k-1]: images do not interact, so a sum keeps their gradients apart
        if x.is_cuda:
            eye = torch.eye(len(chosen), device=x.device)
            (gradients,) = torch.autograd.grad(chosen, x, eye, is_grads_batched=True)
        else:
            last = len(chosen) - 1
            gradients = torch.stack([torch.autograd.grad(z, x, retain_graph=k < last)[0] for k, z in enumerate(chosen)])
    return outputs.detach(), gradients


def step(outputs: Tensor, gradients: Tensor, classes: Tensor) -> Tensor:
    """The smallest step to a linearised class boundary: logits ``[n, classes]``, gradients ``[k-1, n, C, H, W]`` to ``[n, C, H, W]``.

    ``r = (|f_j| / ||w_j||^2) w_j`` at ``j = argmin_j |f_j| / ||w_j||``, f and w the differences of logits and gradients to the
    label; ``classes`` and ``gradients`` as :func:`boundary_gradients` takes and gives them.
    """
    f = outputs.gather(1, classes)
    f = (f[:, 1:] - f[:, :1]).abs()
    w = gradients.transpose(0, 1)  # [n, k-1, C, H, W]
    length = w.flatten(2).norm(dim=2).clamp_min(TINY)
    nearest = (f / length).argmin(1)
    row = torch.arange(len(f), device=f.device)
    factor = f[row, nearest] / length[row, nearest] ** 2
    return factor.view(-1, 1, 1, 1) * w[row, nearest]


def deepfool(
    network: nn.Module, x: Tensor, *, classes: int, outputs: Tensor | None = None, max_steps: int = MAX_STEPS
) -> tuple[Tensor, Tensor]:
    """The minimal change that moves each image of ``x`` ``[N, C, H, W]`` out of its predicted class.

    ``outputs`` are the logits at ``x``, where the caller has them already. Only the ``classes`` highest of them (all, where
    there are fewer) are candidates. Returns the changes, overshoot included, ``[N, C, H, W]``, and the steps that each image
    took ``[N]`` (``max_steps``: it may not have left its class).
    """
    with torch.no_grad():
        outputs = network(x) if outputs is None else outputs
        candidates = outputs.topk(min(classes, outputs.shape[1]), dim=1).indices
    change = torch.zeros_like(x)
    steps = torch.zeros(len(x), dtype=torch.long, device=x.device)
    active = torch.arange(len(x), device=x.device)
    for _ in range(max_steps):
        at = x[active] + (1 + OVERSHOOT) * change[active]
        outputs, gradients = boundary_gradients(network, at, candidates[active])
        stays = outputs.argmax(1) == candidates[active, 0]
        if not bool(stays.any()):
            break
        active = active[stays]
        change[active] += step(outputs[stays], gradients[:, stays], candidates[active])
        steps[active] += 1
    return (1 + OVERSHOOT) * change, steps
