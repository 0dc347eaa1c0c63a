"""Progress bars: widgets in JupyterLab, lines of text where a stage runs in a terminal (see regen_lib.study)."""

import os

from tqdm import tqdm as text
from tqdm.auto import tqdm as automatic

from regen_lib.core.environment import IN_STAGE

tqdm = text if IN_STAGE in os.environ else automatic
