"""Warnings about a measurement: each has a kind, and what to do about it.

A warning never drops a sample. The worker raises those that only it can see (foreign load, late starts); the
reports raise those that follow from the samples.
"""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Kind(StrEnum):
    """Why a number deserves less trust than it asks for."""

    FOREIGN_LOAD = "foreign-load"
    LATE_START = "late-start"
    FEW_SAMPLES = "few-samples"
    FEW_LAUNCHES = "few-launches"
    SLOW_FIRST = "slow-first-sample"
    HEAVY_TAIL = "heavy-tail"
    DRIFT = "drift"
    WARMING_UP = "warming-up"
    FIRST_SLOT = "first-slot"
    ECHO = "autocorrelated"
    THROTTLED = "throttled"
    UNSTEADY_CLOCK = "unsteady-clock"
    RANK_SKEW = "rank-skew"
    BELOW_RESOLUTION = "below-resolution"
    ABOVE_CEILING = "above-ceiling"
    ABOVE_BANDWIDTH = "above-bandwidth"
    SPEEDUP_ABOVE_CEILING = "speed-up-above-ceiling"
    SUPERLINEAR = "superlinear"
    WORK_DIFFERS = "work-differs"
    SHARED_DEVICE = "shared-device"
    UNJOINED_STREAM = "unjoined-stream"
    HOST_BOUND = "host-bound"
    LAUNCH_GAPS = "launch-gaps"
    ALLOCATOR_RETRIES = "allocator-retries"
    CPU_THROTTLED = "cpu-throttled"
    COMMUNICATION_THREADS = "communication-threads"
    UNCOUNTED_WORK = "uncounted-work"
    CONSTANT_OPERANDS = "constant-operands"
    PROCESS_SETTINGS = "process-settings"


REMEDIES: dict[Kind, str] = {
    Kind.FOREIGN_LOAD: "stop the other processes on these cores, or measure when they are idle",
    Kind.LATE_START: "ranks missed the agreed start: look for other load, or for oversubscribed cores",
    Kind.FEW_SAMPLES: "raise --budget",
    Kind.FEW_LAUNCHES: "use --launches 6 or more for an interval",
    Kind.SLOW_FIRST: "the step was still warming up; its median is little affected",
    Kind.HEAVY_TAIL: "look for what a step does only now and then; how much gets done over time follows the mean",
    Kind.DRIFT: "let the machine settle, or lock its clocks",
    Kind.WARMING_UP: "raise --budget: warm-up took up much of each launch",
    Kind.FIRST_SLOT: "what ran before bears on the step: give it more work, or put its state back in reset",
    Kind.ECHO: "use more --launches rather than a larger --budget: samples of a launch repeat one another",
    Kind.THROTTLED: "cool the device, raise its power limit, or lock its clocks low enough to hold",
    Kind.UNSTEADY_CLOCK: "lock the clocks: the same work takes other times at other clocks",
    Kind.RANK_SKEW: "look at the named rank's device",
    Kind.BELOW_RESOLUTION: "give the step more work: this time is mostly the harness's own",
    Kind.ABOVE_CEILING: "check the declared work and the step's synchronisation, unless a cache explains it",
    Kind.ABOVE_BANDWIDTH: "see that a step touches all it declares (a mapped file is read on touch); caches are faster",
    Kind.SPEEDUP_ABOVE_CEILING: "it shares less than a large product does, or that one was disturbed: measure again",
    Kind.SUPERLINEAR: "an error of measurement or a cache effect: compare with a larger size",
    Kind.WORK_DIFFERS: "make the variants do the same work, or do not compare them",
    Kind.SHARED_DEVICE: "ranks shared one device, so this is no scaling figure",
    Kind.UNJOINED_STREAM: "the step leaves work on a stream that the timed stream does not wait for",
    Kind.HOST_BOUND: "launch less for the same work: a larger batch, torch.compile, CUDA graphs (--execution graph), "
    "or less work of the host in a step",
    Kind.LAUNCH_GAPS: "the host was too slow: stop what else runs on its cores, or give the step more work a launch",
    Kind.ALLOCATOR_RETRIES: "leave the GPU more free memory: each time it waits, and what was kept is asked for anew",
    Kind.CPU_THROTTLED: "raise the control group's CPU limit (docker's --cpus, a pod's limits), or use fewer devices",
    Kind.COMMUNICATION_THREADS: "give a step more work for each message, or each rank a second core (--threads 2); "
    "--gloo-loop as-is makes it worse",
    Kind.UNCOUNTED_WORK: "only matrix products can be counted: see that the step does what it declares, each time",
    Kind.CONSTANT_OPERANDS: "multiply random numbers: GPUs, and some CPUs, are faster with equal ones",
    Kind.PROCESS_SETTINGS: "this case alone is measured under them; set them in all cases that are to be compared",
}


def percent(fraction: float, decimals: int = 0) -> str:
    """E.g. ``5 %``."""
    return f"{100 * fraction:.{decimals}f}\N{NO-BREAK SPACE}%"


def percent_beyond(fraction: float, limit: float) -> str:
    """A fraction beyond a limit, with as many decimals as tell it from the limit: ``5.1 %`` beyond ``5 %``."""
    shown = (percent(fraction, decimals) for decimals in range(4) if round(fraction, decimals + 2) > limit)
    return next(shown, percent(fraction, 4))


class MeasurementWarning(BaseModel):
    """One typed warning: its kind, the fact in words with both numbers, and the rank it names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    fact: str
    """The observed value and its limit, e.g. ``rank 1 waited 31 % of the time (limit 5 %)``."""
    rank: int | None = None
    """The rank that it is about, or None where it is about the whole gang."""

    @property
    def remedy(self) -> str:
        """How a user can remove the cause."""
        return REMEDIES[self.kind]
