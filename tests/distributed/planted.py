"""A scenario that takes as long as the environment says: the same case, faster or slower."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import ClassVar

from harness.scenario import Gang, Work, Workload


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A millisecond of processor time, times what is planted."""

    scaling: ClassVar = "none"

    def prepare(self, gang: Gang) -> Workload:
        del gang
        due_s = 1e-3 * float(os.environ.get("TORCH_PLANTED", "1"))

        def step() -> bool:
            end_s = time.process_time() + due_s  # its own time: a neighbour does not make it less work
            while time.process_time() < end_s:
                pass
            return True

        def check(output: bool) -> None:
            assert output

        return Workload(step, check=check, work=Work())
