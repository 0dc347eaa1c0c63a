"""Environment variables by which :mod:`regen_lib.study` tells the process of a stage what it could not find out itself."""

IN_STAGE = "REGEN_STAGE"  # the stage's name: the notebook's standard error is a terminal, not a cell
TF32 = "REGEN_TF32"  # 1: a GPU's float32 convolutions and products keep ten bits of each factor
MEMORY_FORMAT = "REGEN_MEMORY_FORMAT"  # how tensors lie: a key of regen_lib.core.devices.FORMATS
