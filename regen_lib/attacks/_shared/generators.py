"""The generators of GAP and NAG, scaled to the size of the images."""

import math

import torch
from torch import Tensor, nn


def widths(size: int, full: int) -> int:
    """Maps of a generator's first layer: ``full`` at 224 pixels, fewer for smaller images, at least 8."""
    return max(8, min(full, full * size // 112))


def seeded(maker: nn.Module, rng: torch.Generator) -> None:
    """Start a generator as both releases do: weights from N(0, 0.02), no biases, BN as it is."""
    for parameter in maker.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.02, generator=rng)
    for module in maker.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


class Residual(nn.Module):
    """``x + conv(relu(conv(x)))`` with 3x3 reflect-padded convolutions and BN."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=False) for _ in range(2))
        self.body = nn.Sequential(first, nn.BatchNorm2d(channels), nn.ReLU(), second, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Crop(nn.Module):
    """The first ``height`` rows and ``width`` columns: two halvings and doublings give the next multiples of 4."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, : self.height, : self.width]


def residual_generator(shape: tuple[int, int, int], *, blocks: int = 6) -> nn.Sequential:
    """GAP's generator (Johnson et al. 2016): ``[N, C, H, W]`` to the same shape in [-1, 1]."""
    channels, n = shape[0], widths(shape[1], 64)
    layers: list[nn.Module] = [nn.Conv2d(channels, n, 7, padding=3, padding_mode="reflect"), nn.BatchNorm2d(n), nn.ReLU()]
    for inputs in (n, 2 * n):
        layers += [nn.Conv2d(inputs, 2 * inputs, 3, 2, 1), nn.BatchNorm2d(2 * inputs), nn.ReLU()]
    layers += [Residual(4 * n) for _ in range(blocks)]
    for inputs in (4 * n, 2 * n):
        layers += [nn.ConvTranspose2d(inputs, inputs // 2, 3, 2, 1, output_padding=1), nn.BatchNorm2d(inputs // 2), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(n, channels, 7, padding=3, padding_mode="reflect"), nn.Tanh(), Crop(*shape[1:]))


class LatentGenerator(nn.Module):
    """NAG's generator: ``z`` ``[N, latent]`` in [-1, 1] to perturbations ``[N, C, H, W]`` in [-1, 1].

    A linear layer to a grid of 4 to 7 pixels a side, then deconvolutions that double it up to the image; uniform noise maps
    join at every level.
    """

    def __init__(self, shape: tuple[int, int, int], *, latent: int = 100, noise: int = 8) -> None:
        super().__init__()
        self.shape, self.latent, self.noise = shape, latent, noise
        levels = max(0, math.ceil(math.log2(max(shape[1:]) / 7)))
        self.grid = math.ceil(shape[1] / 2**levels), math.ceil(shape[2] / 2**levels)
        n = widths(shape[1], 64)
        self.spread = nn.Linear(latent, 4 * n * self.grid[0] * self.grid[1])
        self.norm = nn.BatchNorm2d(4 * n)
        inputs, ups = 4 * n, []
        for level in range(levels):
            outputs = max(n, inputs // 2) if level == 0 else n
            up = nn.ConvTranspose2d(inputs + noise, outputs, 5, 2, 2, output_padding=1)
            ups.append(nn.Sequential(up, nn.BatchNorm2d(outputs), nn.ReLU()))
            inputs = outputs
        self.ups = nn.ModuleList([*ups, nn.Conv2d(inputs + noise, shape[0], 5, padding=2)])

    def forward(self, z: Tensor, rng: torch.Generator) -> Tensor:
        x = self.norm(self.spread(z).unflatten(1, (-1, *self.grid))).relu()
        for up in self.ups:
            maps = torch.rand(len(z), self.noise, *x.shape[2:], generator=rng) * 2 - 1
            x = up(torch.cat([x, maps], dim=1))
        return x[:, :, : self.shape[1], : self.shape[2]].tanh()

    def sample(self, count: int, rng: torch.Generator) -> Tensor:
        """``count`` perturbations ``[count, C, H, W]`` in [-1, 1] from fresh z."""
        z = torch.rand(count, self.latent, generator=rng) * 2 - 1
        made: Tensor = self(z, rng)
        return made
