"""How devices are joined, as far as a run tells: inside a host, or between hosts. No projection crosses over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.evidence import Evidence

FEWEST_BEYOND = 2
"""Counts that must span hosts before anything is said of other counts that do."""


@dataclass(frozen=True)
class Topology:
    """What is known of where the ranks of a run were."""

    hosts: tuple[str, ...]
    """Host of each rank."""
    room: int | None
    """Devices of one host, where the run's environment tells."""

    @classmethod
    def of(cls, evidence: Evidence) -> Topology:
        """From the side's last launch that tells, and the environment."""
        gangs = list(evidence.gangs.values())
        hosts = tuple(rank.host for rank in sorted(gangs[-1].ranks, key=lambda each: each.rank)) if gangs else ()
        host = (evidence.environment or {}).get("host")
        told = host if isinstance(host, dict) else {}
        cpu = evidence.plan.devices[0].startswith("cpu")
        room = told.get("cores") if cpu else told.get("gpus")
        return cls(hosts, room // (evidence.plan.threads if cpu else 1) if isinstance(room, int) else None)

    def spans(self, count: int) -> bool:
        """Whether the first so many ranks were on several hosts."""
        return len(set(self.hosts[:count])) > 1

    def refusal(self, counts: Sequence[int], target: int) -> str | None:
        """Why nothing can be said of ``target`` devices from these counts, as a clause; None where something can."""
        beyond = [count for count in counts if self.spans(count)]
        if len(beyond) >= FEWEST_BEYOND:
            return None
        if beyond:
            return f"they would span hosts, as only {beyond[0]} of the measured counts did"
        inside = self.room if self.room is not None else len(self.hosts) or max(counts)
        if target <= inside:
            return None
        known = f"this host has {inside}" if self.room is not None else f"no more than {inside} are known on this host"
        return f"{known}, and how devices of several hosts are joined was not measured"
