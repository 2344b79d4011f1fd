"""Warnings about a measurement: each has a kind, and what to do about it.

A warning never drops a sample. The worker raises those that only it can see (foreign load, late starts); the
reports raise those that follow from the samples.
"""

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict


class Kind(StrEnum):
    """The kinds of warnings, each with its remedy."""

    remedy: str
    """How a user can remove the cause."""

    def __new__(cls, value: str, remedy: str) -> Self:
        """The member with this value."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.remedy = remedy
        return member

    FOREIGN_LOAD = "foreign-load", "stop the other processes on these cores, or measure when they are idle"
    LATE_START = "late-start", "ranks missed the agreed start: look for other load, or for oversubscribed cores"
    FEW_SAMPLES = "few-samples", "raise --budget"
    FEW_LAUNCHES = "few-launches", "use --launches 6 or more for an interval"
    SLOW_FIRST = "slow-first-sample", "the step was still warming up; its median is little affected"
    HEAVY_TAIL = (
        "heavy-tail",
        "look for what a step does only now and then; how much gets done over time follows the mean",
    )
    DRIFT = "drift", "let the machine settle, or lock its clocks"
    WARMING_UP = "warming-up", "raise --budget: warm-up took up much of each launch"
    FIRST_SLOT = "first-slot", "what ran before bears on the step: give it more work, or put its state back in reset"
    ECHO = "autocorrelated", "use more --launches rather than a larger --budget: samples of a launch repeat one another"
    THROTTLED = "throttled", "cool the device, raise its power limit, or lock its clocks low enough to hold"
    UNSTEADY_CLOCK = "unsteady-clock", "lock the clocks: the same work takes other times at other clocks"
    RANK_SKEW = "rank-skew", "look at the named rank's device"
    BELOW_RESOLUTION = "below-resolution", "give the step more work: this time is mostly the harness's own"
    ABOVE_CEILING = (
        "above-ceiling",
        "check the declared work and the step's synchronisation, unless a cache explains it",
    )
    ABOVE_BANDWIDTH = (
        "above-bandwidth",
        "see that a step touches all it declares (a mapped file is read on touch); caches are faster",
    )
    SPEEDUP_ABOVE_CEILING = (
        "speed-up-above-ceiling",
        "it shares less than a large product does, or that one was disturbed: measure again",
    )
    SUPERLINEAR = "superlinear", "an error of measurement or a cache effect: compare with a larger size"
    WORK_DIFFERS = "work-differs", "make the variants do the same work, or do not compare them"
    SHARED_DEVICE = "shared-device", "ranks shared one device, so this is no scaling figure"
    UNJOINED_STREAM = "unjoined-stream", "the step leaves work on a stream that the timed stream does not wait for"
    HOST_BOUND = (
        "host-bound",
        (
            "launch less for the same work: a larger batch, torch.compile, CUDA graphs (--execution graph), "
            "or less work of the host in a step"
        ),
    )
    LAUNCH_GAPS = (
        "launch-gaps",
        "the host was too slow: stop what else runs on its cores, or give the step more work a launch",
    )
    ALLOCATOR_RETRIES = (
        "allocator-retries",
        "leave the GPU more free memory: each time it waits, and what was kept is asked for anew",
    )
    CPU_THROTTLED = (
        "cpu-throttled",
        "raise the control group's CPU limit (docker's --cpus, a pod's limits), or use fewer devices",
    )
    COMMUNICATION_THREADS = (
        "communication-threads",
        (
            "give a step more work for each message, or each rank a second core (--threads 2); "
            "--gloo-loop as-is makes it worse"
        ),
    )
    UNCOUNTED_WORK = (
        "uncounted-work",
        "only matrix products can be counted: see that the step does what it declares, each time",
    )
    CONSTANT_OPERANDS = "constant-operands", "multiply random numbers: GPUs, and some CPUs, are faster with equal ones"
    PROCESS_SETTINGS = (
        "process-settings",
        "this case alone is measured under them; set them in all cases that are to be compared",
    )
    BLIND_CHECK = (
        "blind-check",
        "compare all of the output with an independent reference, unless the check looks at the state",
    )


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
