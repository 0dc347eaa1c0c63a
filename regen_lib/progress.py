"""Progress bars: widgets in JupyterLab, lines of text where a stage runs in a terminal (see regen_lib.study)."""

import os

from tqdm import tqdm as text
from tqdm.auto import tqdm as automatic

IN_STAGE = "REGEN_STAGE"  # set by regen_lib.study: the notebook's standard error is the terminal's

tqdm = text if IN_STAGE in os.environ else automatic
