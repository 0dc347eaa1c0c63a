"""One small network, and the ways in which others would write it."""

import math
from collections.abc import Callable

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from regen_lib.core.perturbations import Threat
from tests.conftest import draw, rng

INF = Threat(math.inf, 40.0, 1.0)
PIXELS = torch.randint(0, 256, (16, 3, 15, 13), generator=rng(1), dtype=torch.uint8)  # odd sizes
MEAN, STD = torch.tensor([120.0, 110.0, 100.0]).view(1, 3, 1, 1), torch.tensor([60.0, 58.0, 56.0]).view(1, 3, 1, 1)


class Scale(nn.Module):
    """Normalisation under a name of its own, without attributes."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - MEAN) / STD


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model = make()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(draw(module.num_features) * 0.1)
            module.running_var.copy_(draw(module.num_features, seed=1).exp())
            module.bias.data.copy_(draw(module.num_features, seed=2) * 0.3)
    return model.eval().requires_grad_(False)


def layers(*, inplace: bool = False) -> list[nn.Module]:
    """Convolution, ReLU; convolution, BN, ReLU; a convolution with nothing after it."""
    first, second = [nn.Conv2d(3, 6, 3), nn.ReLU(inplace)], [nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace)]
    return [*first, *second, nn.Conv2d(6, 8, 3, 2), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 5)]


def plain() -> nn.Module:
    return seeded(lambda: nn.Sequential(Scale(), *layers()))


class Functional(nn.Module):
    """The same without modules: convolutions of parameters, BN by hand, ReLU in each of its spellings."""

    def __init__(self, source: nn.Module) -> None:
        super().__init__()
        self.w = nn.ParameterList([source[index].weight for index in (1, 3, 6)])
        self.b = nn.ParameterList([source[index].bias for index in (1, 3, 6)])
        self.norm, self.last = source[4], source[9]

    def forward(self, x: Tensor) -> Tensor:
        x = (x - MEAN) / STD
        x = F.conv2d(x, self.w[0], self.b[0]).clamp(min=0)
        x = F.batch_norm(
            F.conv2d(x, self.w[1], self.b[1], padding=1),
            self.norm.running_mean,
            self.norm.running_var,
            self.norm.weight,
            self.norm.bias,
            eps=self.norm.eps,
        )
        x = torch.conv2d(x.relu_(), self.w[2], self.b[2], stride=2)
        return self.last(F.adaptive_avg_pool2d(x, 2).flatten(1))


class Zoo(nn.Module):
    """A zoo's form: `normalize` is torchvision's transform, the network stands under another name, its features are kept."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.normalize = torchvision.transforms.Normalize((MEAN / 255).flatten().tolist(), (STD / 255).flatten().tolist())
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        self.features = self.body[:6](self.normalize(x / 255))
        return self.body[6:](self.features)


def body(network: nn.Module) -> nn.Sequential:
    return nn.Sequential(*list(network.children())[1:])


def compiled(network: nn.Module) -> nn.Module:
    made = torch.compile(network, backend="eager")
    assert isinstance(made, nn.Module)
    return made


FORMS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "ReLU in place": lambda n: load(seeded(lambda: nn.Sequential(Scale(), *layers(inplace=True))), n),
    "normalised outside": lambda n: nn.Sequential(Scale(), body(n)),
    "wrapped twice": lambda n: nn.Sequential(nn.Identity(), nn.Sequential(n)),
    "zoo": lambda n: Zoo(nn.Sequential(*list(n.children())[1:])),
    "DataParallel": nn.DataParallel,
    "compiled": lambda n: compiled(n),
    "compiled inside": lambda n: nn.Sequential(Scale(), compiled(body(n))),
    "functional": Functional,
}


def load(network: nn.Module, source: nn.Module) -> nn.Module:
    network.load_state_dict(source.state_dict())
    return network
