"""The study beside the library: stages, parameters, tables, figures, report. The library never imports it."""

from regen_lib.core import origin
from regen_lib.study.makers import maker

origin.MAKERS.append(maker)  # so that a missing file of the study is named with the stage that makes it
