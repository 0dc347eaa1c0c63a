"""What the figures draw, from tables made by hand: every point where its table has it."""

import math
from itertools import combinations
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.text import Annotation

from regen_lib.study.figures import attacks, defenses, evaluation, filters, pictures
from regen_lib.study.figures.gallery import gallery
from regen_lib.study.figures.marks import ATTACK_STYLE, GAP
from regen_lib.study.figures.style import ORDER_STYLE


def frame(columns: str, *rows: tuple[Any, ...], **same: Any) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=columns.split()).assign(**same)


def lines(axis: Axes) -> dict[str, list[tuple[float, float]]]:
    """The lines that have a name, point by point."""
    named = {str(line.get_label()): line for line in axis.get_lines()}
    return {label: points(line) for label, line in named.items() if not label.startswith("_")}


def points(line: Line2D) -> list[tuple[float, float]]:
    """Where a line goes."""
    return [(float(x), float(y)) for x, y in np.asarray(line.get_xydata())]


@pytest.fixture(autouse=True)
def _closed() -> Any:
    yield
    plt.close("all")


def test_fooling_ratios_reach_down_to_the_weakest() -> None:
    rows = [("vgg16", "uap", 0.8, 0.7), ("vgg16", "random_signs", 0.3, 0.2), ("vgg16", "nag", 0.9, 0.85)]
    axis = attacks.fooling(frame("network bank fooling_unseen fooling_unseen_min", *rows), "random_signs").axes[0]
    (bars,) = (c for c in axis.collections if isinstance(c, LineCollection))
    assert [[(round(float(x), 6), float(y)) for x, y in np.asarray(bar)] for bar in bars.get_segments()] == [
        [(0.7, 0), (0.8, 0)],
        [(0.85, 1), (0.9, 1)],
    ]
    assert [x for x, _ in lines(axis)["random signs"]] == [0.3, 0.3]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["UAP", "NAG"]


def test_margins_at_the_largest_xi_and_at_the_best() -> None:
    rows = [("vgg16", "uap", 30, 0.5), ("vgg16", "uap", 60, 0.2), ("vgg16", "nag", 30, 0.1), ("vgg16", "nag", 60, 0.3)]
    left, right = attacks.margins(frame("network attack xi margin", *rows), "random_signs", 60).axes
    assert [text.get_text() for text in left.texts] == ["+0.20", "+0.30"]
    assert [text.get_text() for text in right.texts] == ["+0.50 (30)", "+0.30 (60)"]


def test_costs_are_in_thousands_of_images() -> None:
    rows = [("vgg16", "uap", 1000, 0.5), ("vgg16", "uap", 2000, 0.8), ("vgg16", "sga", 500, 0.9)]
    axis = attacks.costs(frame("network attack gradients fooling", *rows)).axes[0]
    assert lines(axis) == {"UAP": [(1.0, 0.5), (2.0, 0.8)], "SGA": [(0.5, 0.9)]}


def test_excitation_points_out_the_named_attacks() -> None:
    rows = [("vgg16", "uap", -0.1, 0.8), ("vgg16", "gd_uap_data", 0.9, 0.3), ("vgg16", "nag", 0.2, 0.85)]
    axis = attacks.excitation(frame("network attack excitation fooling", *rows), ["uap", "gd_uap_data"]).axes[0]
    assert lines(axis) == {"other attacks": [(0.2, 0.85)], "UAP": [(-0.1, 0.8)], "G-UAP, data": [(0.9, 0.3)]}


def test_fig_6_has_the_papers_hardened_network() -> None:
    axis = attacks.attack_curves(frame("defense passes fooling", ("ours", 1, 0.5), ("ours", 2, 0.7), ("prn", 1, 0.4))).axes[0]
    assert lines(axis) == {"regeneration (ours)": [(1, 0.5), (2, 0.7)], "PRN": [(1, 0.4)]}
    assert 0.42 in [y for line in axis.get_lines() for _, y in points(line)]
    heights = {text.get_text(): text.xy[1] for text in axis.texts if isinstance(text, Annotation)}
    assert heights["regeneration (ours)"] == pytest.approx(0.7)
    assert heights["PRN"] == pytest.approx(0.4)
    assert heights["the paper's hardened network, 0.42"] == pytest.approx(0.4 + GAP)  # .42 would touch PRN's


def test_colours_are_told_apart_with_deuteranopia() -> None:
    """Those that one figure has together, after Machado, Oliveira and Fernandes (2009), severity 1.0: at least 15 apart in CIELAB."""
    attacked, defended = {color for color, _, _ in ATTACK_STYLE.values()}, {*defenses.COLORS.values(), "black"}
    ordered = {color for color, _, _ in ORDER_STYLE.values()}
    for colors in (attacked, defended, ordered):
        seen = [lab(deuteranope(color)) for color in colors]
        assert min(math.dist(a, b) for a, b in combinations(seen, 2)) > 15


def test_attacks_have_looks_of_their_own() -> None:
    assert len(set(ATTACK_STYLE.values())) == len(ATTACK_STYLE)


def deuteranope(color: str) -> np.ndarray:
    """What is left of a colour without the green-sensitive cones, in linear RGB."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]) @ linear


def lab(linear: np.ndarray) -> list[float]:
    """CIELAB of linear sRGB under D65."""
    white = np.array([0.95047, 1.0, 1.08883])
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ np.clip(linear, 0, 1) / white
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)]


def test_strength_shows_mean_and_weakest() -> None:
    rows = [("UAP", 55, 0.7, 0.6), ("UAP", 60, 0.8, 0.65), ("random signs", 55, 0.3, 0.2)]
    axis = evaluation.strength(frame("label xi fooling weakest", *rows), 0.8).axes[0]
    found = lines(axis)
    assert found["UAP"] == [(55, 0.7), (60, 0.8)]
    assert found["UAP, weakest"] == [(55, 0.6), (60, 0.65)]
    assert found["random signs"] == [(55, 0.3)]
    assert {text.get_text() for text in axis.texts} == {"UAP", "random signs", "the paper's target, 0.8"}


def test_fig_s2_has_a_panel_for_units_and_one_for_the_ratio() -> None:
    rows = [("units", 2, "uap", 0.9), ("units", 0, "uap", 0.5), ("ratio", 0.5, "uap", 0.8), ("units", 2, "uap_l2", 0.7)]
    table = frame("sweep value attack restoration", *rows, ci_low=0.4, ci_high=0.95)
    left, right = evaluation.ablation(table).axes
    drawn = [points(line) for line in left.get_lines()]
    assert [(0.0, 0.5), (2.0, 0.9)] in drawn
    assert [(2.0, 0.7)] in drawn
    assert [(0.5, 0.8)] in [points(line) for line in right.get_lines()]


def test_the_study_in_one_picture() -> None:
    rows = [("vgg16", "undefended", "uap", 0.9, 0.1), ("vgg16", "ours", "uap", 0.89, 0.8), ("vgg16", "ours", "fff", 0.89, 0.7)]
    found = lines(evaluation.summary(frame("network defense attack clean_accuracy accuracy", *rows)).axes[0])
    assert [x for x, _ in found["undefended, clean images"]] == [0.9, 0.9]
    assert found["regeneration (ours)"] == [(0.8, 0), (0.7, 1)]
    assert found["undefended"][0] == (0.1, 0)


def test_fig_3_draws_each_order_in_percent() -> None:
    rows = [
        (order, f, a)
        for order, values in (("ranked", (0.2, 0.8)), ("reversed", (0.2, 0.3)))
        for f, a in zip((0.0, 0.5), values, strict=True)
    ]
    table = frame("order fraction accuracy", *rows, network="vgg16", depth=1, layer="conv1", ci_low=0.1, ci_high=0.9, clean=0.85)
    found = lines(filters.masking(table).axes[0])
    assert found["most vulnerable first"] == [(0, 0.2), (50, 0.8)]
    assert found["least first"] == [(0, 0.2), (50, 0.3)]
    assert {y for _, y in found["clean images"]} == {0.85}


def test_fig_1_says_what_each_defence_sees() -> None:
    seen = {"undefended": (0, 0.55), "ours": (2, 0.9)}
    shown = pictures.Shown("uap", torch.zeros(1, 4, 4), torch.ones(1, 4, 4), seen)
    figure = pictures.one_image([shown], 2, ["Bag", "Boot", "Coat"])
    texts = {text.get_text(): text.get_color() for text in figure.axes[1].texts}
    assert {"Bag, 55 %", "Coat, 90 %"} <= set(texts)
    assert texts["Bag, 55 %"] == "#D55E00"  # wrong
    assert texts["Coat, 90 %"] == "#0072B2"  # right
    assert figure.axes[0].get_title() == "UAP"


def test_perturbations_of_many_banks_fit_a_page() -> None:
    """Seven banks: four rows on the left, three on the right, each titled, on its own scale from black to white."""
    names = ["uap", "nag", "gap", "sga", "fff", "spgd", "unheard_of"]
    banks = {name: torch.full((3, 1, 2, 2), 5.0) * torch.tensor([1.0, -1.0, 0.0]).view(3, 1, 1, 1) for name in names}
    figure = gallery(banks, 2, {name: f"fools .{place}" for place, name in enumerate(names)})
    axes = np.array(figure.axes).reshape(4, 4)
    labels = {(line, column): axes[line, column].get_ylabel() for line in range(4) for column in range(4)}
    titled = {(0, 0): "UAP", (1, 0): "NAG", (2, 0): "GAP", (3, 0): "SGA", (0, 2): "FFF", (1, 2): "sPGD", (2, 2): "unheard_of"}
    assert {place: text for place, text in labels.items() if text} == {
        place: f"{title}\nfools .{number}" for number, (place, title) in enumerate(titled.items())
    }
    first, second = (axes[1, column].get_images()[0].get_array() for column in (2, 3))
    assert (float(first.min()), float(second.max())) == (1.0, 0.0)
    assert not axes[3, 2].get_images()
    assert "middle grey is 0" in str(figure.get_supxlabel())


@pytest.mark.parametrize(("banks", "columns"), [(1, 1), (6, 1), (7, 2), (12, 2), (30, 2)])
def test_a_gallery_is_at_most_a_thousand_pixels_high(banks: int, columns: int) -> None:
    figure = gallery({str(place): torch.ones(1, 3, 2, 2) for place in range(banks)}, 1)
    assert figure.get_figheight() * figure.dpi <= 1000
    assert figure.axes[0].get_gridspec().ncols == columns
