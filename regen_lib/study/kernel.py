"""The process in which a stage's notebook runs: IPython's kernel, in this interpreter, as long as the stage lives.

Asked for by name, ``python3`` would be whatever kernel of that name comes first on Jupyter's path, of another environment perhaps.
"""

import os
from typing import Any

from ipykernel.kernelspec import get_kernel_dict, make_ipkernel_cmd
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from regen_lib.study import lifeline


class OwnKernel(AsyncKernelManager):
    """Starts this module in the interpreter that runs the stage, whatever kernels are installed; the kernel owns the stage, too."""

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(**{**get_kernel_dict(), "argv": make_ipkernel_cmd(__name__)})

    def start_kernel(self, **options: Any) -> Any:
        return super().start_kernel(pass_fds=tuple(lifeline.held), **options)


if __name__ == "__main__":
    lifeline.end_with_parent(int(os.environ["JPY_PARENT_PID"]))
    from ipykernel import kernelapp

    kernelapp.launch_new_instance()
