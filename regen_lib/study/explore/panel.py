"""The widgets of ``notebooks/explore.ipynb``: every knob of a choice, its picture, and a line that says what is wrong with it."""

import html
import time
from pathlib import Path
from typing import Any

import ipywidgets  # type: ignore[import-untyped]

from regen_lib.core.errors import StudyError
from regen_lib.core.runtime import start
from regen_lib.core.surgery import find_conv
from regen_lib.study.explore.drawing import draw
from regen_lib.study.explore.scene import MASKED, REGENERATED, Choice, Explorer

WIDE = {"style": {"description_width": "70px"}, "layout": ipywidgets.Layout(width="300px")}
STRONGEST = 2.5  # times the bank's own xi
NONE = "none"


def studies(root: Path) -> list[str]:
    """The folders at and below ``root`` that hold a study's images, the study itself first."""
    folders = [root, *sorted(root.glob("studies/*")), root / "build/smoke", root / "build/notebooks"]
    return [str(folder) for folder in folders if (folder / "data/images.safetensors").is_file()] or [str(root)]


class Panel:
    """Widgets on the study in ``root``; ``widget`` is what a notebook shows. Any change draws anew."""

    def __init__(self, root: Path) -> None:
        start(threads=1)
        known = studies(root)
        self.study = ipywidgets.Combobox(description="study", value=known[0], options=known, continuous_update=False, **WIDE)
        self.network, self.attack, self.layer, self.rival = (
            ipywidgets.Dropdown(description=name, **WIDE) for name in ("network", "attack", "layer", "rival")
        )
        slider = {"continuous_update": False, **WIDE}
        self.xi = ipywidgets.FloatSlider(description="ξ", min=0, max=1, value=0, step=1, readout_format=".0f", **slider)
        self.image = ipywidgets.IntSlider(description="image", min=0, max=0, **slider)
        self.filter = ipywidgets.IntSlider(description="filter", min=0, max=0, **slider)
        self.share = ipywidgets.FloatSlider(description="share", min=0, max=1, value=0.5, step=0.05, readout_format=".0%", **slider)
        self.how = ipywidgets.ToggleButtons(options=[REGENERATED, MASKED], style={"button_width": "120px"})
        self.picture = ipywidgets.Image(format="png", layout=ipywidgets.Layout(max_width="960px"))
        self.said = ipywidgets.HTML()
        self.explorer, self.busy = Explorer(root), False
        knobs = [self.study, self.network, self.attack, self.xi, self.image, self.layer, self.filter, self.share, self.how, self.rival]
        for knob in knobs:
            knob.observe(self.changed, "value")
        columns = [ipywidgets.VBox(knobs[first : first + 4]) for first in (0, 4, 8)]
        self.widget = ipywidgets.VBox([ipywidgets.HBox(columns), self.said, self.picture])
        self.changed({"owner": self.study})

    def changed(self, change: dict[str, Any]) -> None:
        """Follow a change: what can be chosen may be other now, and the picture is."""
        if self.busy:
            return
        begun, self.busy = time.monotonic(), True
        try:
            notes = self.follow(change["owner"])
            scene = self.explorer.look(self.choice())
            self.picture.value, self.picture.layout.display = draw(scene), None
            self.say([*notes, *scene.notes] or [f"{time.monotonic() - begun:.1f} s"])
        except (StudyError, OSError) as error:
            self.picture.layout.display = "none"
            self.say([str(error)])
        finally:
            self.busy = False

    def follow(self, changed: Any) -> list[str]:
        """Bring what the knobs offer in line with the study, the network, the attack and the layer; what could not be kept."""
        notes: list[str] = []
        if changed is self.study:
            self.explorer = Explorer(Path(self.study.value))
            self.image.max = len(self.explorer.images) - 1
            notes += offer(self.network, self.explorer.networks())
        if changed in (self.study, self.network):
            notes += offer(self.attack, self.explorer.attacks(self.network.value))
            notes += offer(self.layer, self.explorer.layers(self.network.value))
            notes += offer(self.rival, [NONE, *self.explorer.rivals(self.network.value)])
        if changed in (self.study, self.network, self.attack):
            own = self.explorer.bank(self.network.value, self.attack.value).threat.xi
            scale, self.xi.max, self.xi.step = self.xi.value / self.xi.max or 1 / STRONGEST, STRONGEST * own, own / 20
            self.xi.value = scale * self.xi.max
        if changed in (self.study, self.network, self.layer):
            self.filter.max = find_conv(self.explorer.network(self.network.value), self.layer.value).out_channels - 1
        return notes

    def choice(self) -> Choice:
        """What the knobs say."""
        values = {
            knob: getattr(self, knob).value for knob in ("network", "attack", "xi", "image", "layer", "filter", "share", "how", "rival")
        }
        return Choice(**values | {"rival": "" if values["rival"] in (None, NONE) else values["rival"]})

    def say(self, lines: list[str]) -> None:
        """Lines below the knobs."""
        self.said.value = "<br>".join(html.escape(line) for line in lines)


def offer(knob: ipywidgets.Dropdown, options: list[str]) -> list[str]:
    """Let ``knob`` offer ``options`` and keep its value, if that is among them; says where it is not."""
    before = knob.value
    if not options:
        raise StudyError(f"there is no {knob.description} to choose from: `make repro` or `make unpack FILE=...` brings some")
    knob.options = options
    knob.value = before if before in options else options[0]
    return [f"{knob.description} {before} is not there: {knob.value} is shown"] if before not in (None, *options) else []
