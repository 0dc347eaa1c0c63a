"""A scene as a picture."""

from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from regen_lib.study.explore.scene import Scene
from regen_lib.study.figures.pictures import bare, paint, stretched
from regen_lib.study.figures.style import BLUE, GREY, ORANGE, style
from regen_lib.study.titles import ATTACK_TITLES, DEFENSE_TITLES


def draw(scene: Scene) -> bytes:
    """The PNG: above, the image, its perturbation, their sum and the filter's outputs; below, what each network says of the sum."""
    style()
    figure = Figure(figsize=(12, 5), dpi=80)
    grid = figure.add_gridspec(2, 30, left=0.02, right=0.99, top=0.9, bottom=0.05, hspace=0.35, wspace=0.6)
    above = [figure.add_subplot(grid[0, 5 * column : 5 * column + 5]) for column in range(6)]
    pictures(above[:3], scene)
    filter_maps(above[3:], scene)
    width = 30 // len(scene.predictions)
    for column, (who, classes) in enumerate(scene.predictions.items()):
        bars(figure.add_subplot(grid[1, width * column + 1 : width * (column + 1)]), DEFENSE_TITLES[who], classes, scene.truth)
    buffer = BytesIO()
    # savefig would draw twice, for tight margins
    FigureCanvasAgg(figure).print_png(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def pictures(axes: list[Axes], scene: Scene) -> None:
    """Image, perturbation and sum, in pixels; the perturbation stretched over their whole range."""
    shown = {
        f"image {scene.choice.image}: {scene.truth}": scene.image,
        f"{ATTACK_TITLES[scene.choice.attack]}, ξ = {scene.choice.xi:g}": stretched(scene.perturbation),
        "sum": scene.image + scene.perturbation,
    }
    for axis, (title, picture) in zip(axes, shown.items(), strict=True):
        paint(axis, picture)
        axis.set_title(title)
        bare(axis)


def filter_maps(axes: list[Axes], scene: Scene) -> None:
    """A filter's output, all in one grey scale."""
    maps = {title: values.numpy(force=True) for title, values in scene.maps.items()}
    low, high = np.percentile(np.stack(list(maps.values())), [1, 99])
    for axis, (title, values) in zip(axes, maps.items(), strict=True):
        axis.imshow(values, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        axis.set_title(f"{scene.choice.layer}, filter {scene.choice.filter}: {title}", fontsize=8)
        bare(axis)


def bars(axis: Axes, who: str, classes: list[tuple[str, float]], truth: str) -> None:
    """The most likely classes: the true one in blue, a wrong first one in orange."""
    labels, values = zip(*classes, strict=True)
    colors = [BLUE if label == truth else GREY if k else ORANGE for k, label in enumerate(labels)]
    axis.barh(range(len(labels)), values, color=colors, alpha=0.6)
    for k, label in enumerate(labels):
        axis.text(0.02, k, label, va="center", fontsize=8)
    axis.set(xlim=(0, 1), ylim=(len(labels) - 0.5, -0.5), yticks=[], xticks=[0, 0.5, 1])
    axis.set_title(who, fontsize=9)
