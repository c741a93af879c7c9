"""Programs that a step starts, and that must not outlive it."""

import ctypes
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def ends_with_this_process() -> Callable[[], None]:
    """A `preexec_fn` by which the started program is told to end when this process has ended.

    Even by kill -9: a program that stayed behind would hold the GPU.
    """
    kernel = ctypes.CDLL(None)  # loaded before the fork

    def ask_the_kernel() -> None:
        kernel.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return ask_the_kernel
