"""A polite stop: SIGTERM is noted, the update under way is finished, a checkpoint written, and the run can go on."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self, cast

import torch
from accelerate import Accelerator
from torch import Tensor


def spare_worker(number: int) -> None:
    """A DataLoader's `worker_init_fn`: a signal to all processes of a run reaches its workers too, which are needed
    until the update under way is finished and end with the process that they work for."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


class Interruption:
    """Within it SIGTERM no longer ends the process; whoever loops asks for it between updates."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._noted = False

    def __enter__(self) -> Self:
        # Only the main thread may set handlers; elsewhere a signal keeps its effect.
        self._here = threading.current_thread() is threading.main_thread()
        if self._here:
            self._previous = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._here:
            signal.signal(signal.SIGTERM, self._previous)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted = True

    def asked(self) -> bool:
        """Whether any process was told to stop; every process hears the same at the same update."""
        if self._accelerator.num_processes == 1:
            return self._noted
        noted = torch.tensor([float(self._noted)], device=self._accelerator.device)
        return bool(cast(Tensor, self._accelerator.reduce(noted, "sum")) > 0)
