"""DeepFool against the closed form of a linear classifier, and its gradients against another way to take them."""

from collections.abc import Callable

import torch
from torch import nn

from regen_lib.attacks._shared.deepfool import boundary_gradients, deepfool, step
from regen_lib.core.images import Images, as_input
from tests.conftest import draw


def test_one_step_to_the_nearest_boundary(linear: Callable[..., nn.Sequential], images: Images) -> None:
    network, x = linear(), as_input(images.pixels)
    change, steps = deepfool(network, x, classes=4)
    weight, outputs = network[1].weight, network(x)
    for i, z in enumerate(outputs):
        label = int(z.argmax())
        distances = {k: float((z[k] - z[label]).abs() / (weight[k] - weight[label]).norm()) for k in range(4) if k != label}
        k = min(distances, key=lambda j: distances[j])
        w = weight[k] - weight[label]
        expected = 1.02 * float((z[k] - z[label]).abs()) / w.norm() ** 2 * w
        torch.testing.assert_close(change[i].flatten(), expected, rtol=1e-3, atol=1e-3)
    assert (steps == 1).all()
    assert (network(x + change).argmax(1) != outputs.argmax(1)).all()


def test_unreachable_class_uses_every_step() -> None:
    class Flat(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([x.flatten(1).sum(1) * 0 + 5, torch.tanh(x.flatten(1).sum(1))], dim=1)

    _, steps = deepfool(Flat(), torch.zeros(2, 1, 2, 2), classes=2)
    assert (steps == 10).all()


def test_boundary_gradients_against_autograd_jacobian(network: nn.Module, images: Images) -> None:
    x = as_input(images.pixels[:3])
    classes = torch.tensor([[0, 2], [1, 3], [3, 0]])
    outputs, gradients = boundary_gradients(network, x, classes)
    torch.testing.assert_close(outputs, network(x))
    for i in range(3):
        jacobian = torch.autograd.functional.jacobian(lambda one: network(one[None])[0], x[i])  # [classes, C, H, W]
        torch.testing.assert_close(gradients[:, i], jacobian[classes[i, 1:]] - jacobian[classes[i, :1]], rtol=1e-3, atol=1e-5)


def test_a_step_reaches_the_nearest_plane() -> None:
    """For linear logits the step ends on a boundary, and no other boundary was nearer (all of them by brute force)."""
    weight, x = draw(4, 6, seed=1), draw(3, 6, seed=2)
    outputs = x @ weight.T
    classes = outputs.argsort(1, descending=True)
    gradients = torch.stack([(weight[classes[:, k]] - weight[classes[:, 0]]).view(3, 1, 2, 3) for k in range(1, 4)])
    r = step(outputs, gradients, classes).view(3, 6)
    for image, (label, *rest) in enumerate(classes.tolist()):
        distances = [(outputs[image, label] - outputs[image, k]) / (weight[k] - weight[label]).norm() for k in rest]
        torch.testing.assert_close(r[image].norm(), min(distances))
        moved = (x[image] + r[image]) @ weight.T
        assert abs(float(moved[label] - moved[rest].max())) < 1e-5
