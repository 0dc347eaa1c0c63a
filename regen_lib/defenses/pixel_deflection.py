"""Pixel Deflection (Prakash et al., CVPR 2018): pixels outside of what the network looks at swap places, then wavelets denoise."""

import numpy as np
import torch
from torch import Tensor, nn

from regen_lib.core.devices import memory_format
from regen_lib.core.errors import StudyError
from regen_lib.core.extras import need
from regen_lib.core.layers import last_convolution, ran
from regen_lib.core.options import Amount, Count
from regen_lib.core.seeding import generator
from regen_lib.defenses._shared.base import Defended, straight_through

pywt = need("pywt", what="Pixel Deflection", package="pywavelets", extra="defenses")

WAVELET = "db1"
TOP = 5  # classes in the activation map


class PixelDeflection(Defended):
    """``network`` behind the deflection; random, so every forward pass is another draw; gradients pass straight through."""

    def __init__(self, network: nn.Module, deflections: int, window: int, sigma: float) -> None:
        super().__init__(network)
        self.deflections, self.window, self.sigma = deflections, window, sigma
        self.rng = generator(0, "pixel deflection")

    def transform(self, x: Tensor) -> Tensor:
        if torch._C._functorch.is_functorch_wrapped_tensor(x):
            reason = "follows gradients of its own, which torch.func does not allow in a function that it differentiates"
            raise StudyError(f"pixel deflection {reason}: attack it by other means than singular_fool, or attack the network inside")
        deflected = deflect(x.detach(), robust_map(self.network, x.detach()), self.deflections, self.window, self.rng)
        clean = denoise(deflected.clamp(0, 255), self.sigma * 255)
        return straight_through(x, clean.contiguous(memory_format=memory_format()))


def robust_map(network: nn.Module, x: Tensor) -> Tensor:
    """Where the network looks: ``[N, H, W]`` in [0, 1].

    The class-activation maps of the ``TOP`` likeliest classes, the i-th weighted by ``2^-i``; each by gradients at the last
    convolution to run (Grad-CAM), since not all networks here end in global pooling. :class:`StudyError` where none runs.
    """
    with torch.enable_grad(), last_convolution(network) as seen:  # the inner watch: an attack's own does not see this forward
        logits = network(x.clone().requires_grad_())
        features = ran(seen)[-1]
        best = logits.topk(min(TOP, logits.shape[1]), dim=1).values
        weights = 0.5 ** torch.arange(1, best.shape[1] + 1, dtype=x.dtype, device=x.device)
        (gradient,) = torch.autograd.grad((best * weights).sum(), features)
    maps = (gradient.mean((2, 3), keepdim=True) * features.detach()).sum(1, keepdim=True).relu()
    maps = nn.functional.interpolate(maps, size=x.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    low, high = (maps.flatten(1).aminmax(dim=1).min, maps.flatten(1).aminmax(dim=1).max)
    return (maps - low.view(-1, 1, 1)) / (high - low).clamp_min(1e-12).view(-1, 1, 1)


def deflect(x: Tensor, kept: Tensor, deflections: int, window: int, rng: torch.Generator) -> Tensor:
    """``deflections`` values of each image and channel replaced by one at most ``window`` pixels away, within the image.

    A value at a pixel is left alone with that pixel's probability in ``kept`` ``[N, H, W]``. All values are read before any is
    written, where the original goes one by one; positions rarely meet.
    """
    count, channels, height, width = x.shape
    shape = (count, channels, deflections)
    row, column = (torch.randint(size, shape, generator=rng) for size in (height, width))
    down, right = (torch.randint(-window, window + 1, shape, generator=rng) for _ in range(2))
    source = (row + down).clamp(0, height - 1) * width + (column + right).clamp(0, width - 1)
    target, flat = row * width + column, x.flatten(2)
    stays = torch.rand(shape, generator=rng) < kept.flatten(1)[:, None].expand(-1, channels, -1).gather(2, target)
    values = torch.where(stays, flat.gather(2, target), flat.gather(2, source))
    return flat.scatter(2, target, values).view_as(x)


def denoise(x: Tensor, sigma: float) -> Tensor:
    """Soft BayesShrink thresholds in the wavelet domain for noise of deviation ``sigma``, all images and channels at once.

    What :func:`skimage.restoration.denoise_wavelet` does to one image.
    """
    levels = max(pywt.dwtn_max_level(x.shape[2:], WAVELET) - 3, 1)
    coarse, *details = pywt.wavedec2(x.contiguous().numpy(force=True), WAVELET, level=levels, axes=(2, 3))
    shrunk = [tuple(bayes_shrink(band, sigma) for band in level) for level in details]
    back = pywt.waverec2([coarse, *shrunk], WAVELET, axes=(2, 3))[:, :, : x.shape[2], : x.shape[3]]
    return torch.from_numpy(np.ascontiguousarray(back)).to(x).clamp(0, 255)


def bayes_shrink(band: np.ndarray, sigma: float) -> np.ndarray:
    """A sub-band ``[N, C, h, w]`` soft-thresholded at ``sigma^2 / sqrt(max(mean(band^2) - sigma^2, eps))``, image by image."""
    spread = np.sqrt(np.maximum((band**2).mean((2, 3), keepdims=True) - sigma**2, np.finfo(band.dtype).eps))
    return np.sign(band) * np.maximum(np.abs(band) - sigma**2 / spread, 0)


def pixel_deflection(network: nn.Module, *, deflections: Count = 200, window: Count = 10, sigma: Amount = 0.04) -> PixelDeflection:
    """``network`` behind pixel deflection; ``sigma`` is of the denoising, for images in [0, 1]."""
    return PixelDeflection(network, deflections, window, sigma)
