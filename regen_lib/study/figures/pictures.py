"""The figures that show images: samples, perturbations, feature maps, one image under several attacks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from regen_lib.study.figures.style import BLUE, DEFENSE_STYLE, ORANGE, style
from regen_lib.study.titles import ATTACK_TITLES


@dataclass(frozen=True)
class Shown:
    """A case of Fig. 1: the image ``[C, H, W]`` that a network sees, what was added to it, and each defence's (class, confidence)."""

    case: str
    image: Tensor
    perturbation: Tensor
    predictions: Mapping[str, tuple[int, float]]


def bare(axis: Axes) -> None:
    """No ticks, no frame."""
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def paint(axis: Axes, image: Tensor) -> None:
    """An image ``[C, H, W]`` of one channel or three, in pixels of 0-255; values beyond are clipped, as a screen does."""
    shown = (image.float().clamp(0, 255) / 255).permute(1, 2, 0).numpy(force=True)
    axis.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def stretched(v: Tensor) -> Tensor:
    """A perturbation over the whole range of pixels, its zero in the middle."""
    return 127.5 + 127.5 * v / v.abs().max().clamp_min(1e-12)


def one_image(cases: Sequence[Shown], truth: int, classes: Sequence[str]) -> Figure:
    """Fig. 1: an image under each attack, what was added to it (stretched over its own range), and what each defence predicts."""
    style()
    defenses = list(cases[0].predictions)
    figure, axes = plt.subplots(2, len(cases), figsize=(1.5 * len(cases) + 0.4, 3.9), squeeze=False, layout="constrained")
    for (top, below), shown in zip(axes.T, cases, strict=True):
        paint(top, shown.image)
        top.set_title(ATTACK_TITLES[shown.case])
        paint(below, stretched(shown.perturbation))
        for line, defense in enumerate(defenses):
            label, confidence = shown.predictions[defense]
            text, color = f"{classes[label]}, {100 * confidence:.0f} %", BLUE if label == truth else ORANGE
            below.text(0.5, -0.16 - 0.17 * line, text, transform=below.transAxes, ha="center", color=color, fontsize=8)
        bare(top)
        bare(below)
    for line, defense in enumerate(defenses):
        title = DEFENSE_STYLE[defense][2].split(" (")[0]
        axes[1, 0].text(-0.15, -0.16 - 0.17 * line, title, transform=axes[1, 0].transAxes, ha="right", fontsize=8)
    axes[0, 0].set_ylabel("image")
    axes[1, 0].set_ylabel("perturbation")
    return figure


def feature_maps(maps: dict[str, tuple[Tensor, Tensor]], titles: tuple[str, str]) -> Figure:
    """Fig. 5: one filter's activation ``[H, W]`` for each case, before (top) and after regeneration (bottom), one grey scale."""
    style()
    figure, axes = plt.subplots(2, len(maps), figsize=(1.6 * len(maps) + 0.6, 3.4), squeeze=False, layout="constrained")
    everything = np.concatenate([m.numpy(force=True).ravel() for pair in maps.values() for m in pair])
    low, high = np.percentile(everything, [1, 99])
    for column, (case, pair) in enumerate(maps.items()):
        for row, image in enumerate(pair):
            axes[row, column].imshow(image.numpy(force=True), cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            axes[row, column].set(xticks=[], yticks=[])
        axes[0, column].set_title(ATTACK_TITLES[case])
    for axis, title in zip(axes[:, 0], titles, strict=True):
        axis.set_ylabel(title)
    return figure


def perturbations(rows: dict[str, Tensor], count: int = 5) -> Figure:
    """The first perturbations of each bank, one row per bank, each image stretched over its own range."""
    style()
    figure, axes = plt.subplots(len(rows), count, figsize=(1.3 * count, 1.4 * len(rows)), squeeze=False, layout="constrained")
    for axis in axes.ravel():
        bare(axis)
    for line, (name, v) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(ATTACK_TITLES[name])
        for axis, image in zip(line, v[:count], strict=False):
            paint(axis, stretched(image))
    return figure


def samples(pixels: Tensor, titles: Sequence[str]) -> Figure:
    """A row of images ``[n, C, H, W]`` with a title each."""
    style()
    figure, axes = plt.subplots(1, len(pixels), figsize=(1.0 * len(pixels), 1.4), squeeze=False, layout="constrained")
    for axis, image, title in zip(axes[0], pixels, titles, strict=True):
        paint(axis, image)
        axis.set_title(title, fontsize=7)
        bare(axis)
    return figure
