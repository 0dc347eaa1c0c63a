"""The figure of a training: what the objective came to."""

import pandas as pd
from matplotlib.figure import Figure

from regen_lib.study.figures.style import BLUE, GREY, panels


def losses(table: pd.DataFrame) -> Figure:
    """The loss after each epoch, a line for each ``what``, named at its end; columns ``what``, ``epoch``, ``loss``."""
    figure, ((axis,),) = panels([""])
    whats = list(table["what"].unique())
    for what, part in table.groupby("what", sort=False):
        color = BLUE if what == whats[0] else GREY
        axis.plot(part.epoch, part.loss, color=color, marker="o", markersize=3)
        if len(whats) > 1:
            axis.annotate(
                str(what), (part.epoch.iloc[-1], part.loss.iloc[-1]), (4, 0), textcoords="offset points", va="center", color=color
            )
    axis.set(xlabel="epoch", ylabel="loss", xticks=sorted(table.epoch.unique()))
    return figure
