"""Whether two runs may be compared at all, and in what they differ where they may.

What decides how a figure is measured, or on what, has to be equal. Software, variables, host and code may differ: they
are what one compares.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from harness.common.errors import UsageError
from reports.reading.run import Evidence, head, words
from reports.schema.compare import Difference
from reports.text import labels

HARDWARE = re.compile(
    r"(other hosts\.\d+\.)?"
    r"(devices\.(\w+:)?\d+\.(model|memory_bytes|processors|ecc|mig|power_limit_mw|max_sm_clock_mhz)|host\.(cpu|governor))"
)
"""Names in environment.json that have to be equal, as far as both runs tell them."""
FIRST = "as on the first host"
"""What another host says of a fact in which it does not differ."""
FLEETING = re.compile(
    r"(hosts|sides|load_average|gpus_now)(\..*)?|hash|devices\.\d+\.name|variables\.RAY_\w*(ID|ADDRESS|PORT)"
)
"""Names of facts that change from run to run on one machine, or that other facts state."""
OTHERS = "other hosts."
"""What begins the names of what another host than rank 0's has otherwise."""
SOFTWARE = ("software.", "variables.", "rankbench.", OTHERS)
"""Where one of these differs, the probes may be slower for that very reason."""
UNKNOWN = "not told"


def refuse(base: Evidence, new: Evidence) -> None:
    """Raise UsageError where the two runs were not measured alike, or are one and the same."""
    kinds = ["real" if evidence.plan.emulation is None else "emulated" for evidence in (base, new)]
    if kinds[0] != kinds[1]:
        remedy = "measure both on real devices: what is planted says nothing of a machine"
        raise UsageError("NEW's devices", f"be {kinds[0]}, as BASE's", kinds[1], remedy)
    if _same_launches(base, new):
        raise UsageError("NEW", "contains launches of BASE", None, "name another run, or measure again")
    sizes = [set(evidence.plan.world_sizes) for evidence in (base, new)]
    if not sizes[0] & sizes[1]:
        old, now = (_text(sorted(counts)) for counts in sizes)
        raise UsageError("NEW's world sizes", f"include one of BASE's ({old})", now, "use --world-sizes alike")
    fixed = _fixed(base, new, max(sizes[0] & sizes[1]))
    unequal = [(name, old, now) for name, old, now in fixed if old != now]
    if unequal:
        (name, old, now), others = unequal[0], [name for name, _, _ in unequal[1:]]
        more = f" ({', '.join(others[:4])}{' and more' if len(others) > 4 else ''} differ too)" if others else ""
        raise UsageError(
            f"NEW's {name}", f"equal BASE's ({labels.plain(old)})", labels.plain(now), f"measure both alike{more}"
        )
    if not shared(base, new):
        first, other = (_first_case(evidence) for evidence in (base, new))
        raise UsageError(
            "NEW", f"has no case of BASE's (BASE: {first}; NEW: {other})", None, "measure the same scenarios and axes"
        )


def refuse_unchecked(base: Evidence, new: Evidence) -> None:
    """Raise UsageError where what one of the runs computed was not checked."""
    for name, evidence in (("BASE", base), ("NEW", new)):
        if any(cell.state == "unchecked" for cell in evidence.cells):
            remedy = "add --accept-unchecked where a result that is wrong may count as fast"
            raise UsageError(name, "is a run of a script, whose results were not checked", None, remedy)


def shared(base: Evidence, new: Evidence) -> list[str]:
    """Keys of the cases that both runs planned, but for packed copies and probes, in BASE's order."""
    theirs = set(keys(new))
    return [key for key in keys(base) if key in theirs]


def keys(evidence: Evidence) -> dict[str, tuple[int, str]]:
    """The cases that a run is about, each with its place in the plan."""
    return {case.key: place for place, _, case in evidence.cases() if not (case.packed or case.probe)}


def differences(base: Evidence, new: Evidence) -> tuple[Difference, ...]:
    """Everything else that is recorded and not equal, in BASE's order; what neither run tells is left out."""
    olds, news = dict(_told(base)), dict(_told(new))
    names = [name for name in {**olds, **news} if not HARDWARE.fullmatch(name)]
    absent = {name: FIRST if name.startswith(OTHERS) else UNKNOWN for name in names}
    pairs = ((name, olds.get(name, absent[name]), news.get(name, absent[name])) for name in names)
    return tuple(Difference(name=name, base=old, new=now) for name, old, now in pairs if old != now)


def same_software(differing: Sequence[Difference], *runs: Evidence) -> bool:
    """Whether nothing that the probes run on differs, as far as both environments are known."""
    known = all(evidence.environment is not None for evidence in runs)
    return known and not any(difference.name.startswith(SOFTWARE) for difference in differing)


def mixed(evidence: Evidence) -> bool:
    """Whether the launches of one run were not all made in the same environment."""
    return len({gang.fingerprint for gang in evidence.gangs.values()}) > 1


def _same_launches(base: Evidence, new: Evidence) -> bool:
    """Whether any cell of both runs has samples that started at the very same instants."""
    pairs = ((base.samples[key], new.samples[key]) for key in base.samples.keys() & new.samples.keys())
    return any(np.array_equal(old.start_s, now.start_s) for old, now in pairs)


def _first_case(evidence: Evidence) -> str:
    """The first case of a run, and how many more there are."""
    names = [labels.plain(key) for key in keys(evidence)]
    return names[0] + (f" and {len(names) - 1} more" if names[1:] else "") if names else "none"


def _fixed(base: Evidence, new: Evidence, size: int) -> Iterator[tuple[str, str, str]]:
    """What has to be equal: names with BASE's value and NEW's. ``size``: the most devices that both used at once."""
    olds, news = base.plan, new.plan
    yield "schema", _text(olds.schema_version), _text(news.schema_version)
    yield "devices", _text(olds.devices[:size]), _text(news.devices[:size])
    yield "ranks per host", *_both(_spreads(base, size), _spreads(new, size))
    yield "device names", *_both(_device_names(base, size), _device_names(new, size))
    yield "threads", _text(olds.threads), _text(news.threads)
    for name in {**olds.regime, **news.regime}:
        yield f"regime.{name}", olds.regime.get(name, UNKNOWN), news.regime.get(name, UNKNOWN)
    facts = [lasting_facts(evidence.environment or {}) for evidence in (base, new)]
    for name, old in facts[0].items():
        if HARDWARE.fullmatch(name) and name in facts[1]:
            yield name, old, facts[1][name]
    others = [other_hosts(evidence.strange_hosts) for evidence in (base, new)]
    for name in {**others[0], **others[1]}:
        if HARDWARE.fullmatch(name):
            yield name, others[0].get(name, FIRST), others[1].get(name, FIRST)


def _both(old: str, now: str) -> tuple[str, str]:
    """Two values, made equal where one of them is not known: a run that never began tells no device."""
    return (old, now) if old and now else ("", "")


def _device_names(evidence: Evidence, size: int) -> str:
    """What the first so many ranks ran on, each kind once."""
    names = {rank.rank: rank.device_name for gang in evidence.gangs.values() for rank in gang.ranks[:size]}
    return ", ".join(dict.fromkeys(name for _, name in sorted(names.items())))


def _spreads(evidence: Evidence, size: int) -> str:
    """How the first so many ranks were spread over hosts, each way once."""
    spreads = {head(layout.ranks_per_host, size) for layout in evidence.layouts}
    return "; or ".join(words(spread) for spread in sorted(spreads))


def _told(evidence: Evidence) -> Iterator[tuple[str, str]]:
    plan = evidence.plan
    yield "rankbench.version", plan.version
    yield "launcher", evidence.side.launcher
    yield "placement", plan.placement
    yield "seed", _text(plan.seed)
    yield "devices in all", _text(len(plan.devices))
    yield from {f"code.{comparison.scenario}": comparison.code for comparison in plan.comparisons}.items()
    environment = evidence.environment or {}
    first = next(iter(evidence.gangs.values()), None)
    if first is not None and first.variables:  # those of its ranks, whom the launcher gave some of its own
        environment = environment | {"variables": first.variables}
    yield from lasting_facts(environment).items()
    yield from other_hosts(evidence.strange_hosts).items()


def lasting_facts(environment: dict[str, Any]) -> dict[str, str]:
    """The facts of environment.json by dotted names, without those that change from run to run."""
    return {name: value for name, value in _leaves(environment) if not FLEETING.fullmatch(name)}


def other_hosts(*strange_hosts: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """How hosts differ from rank 0's, by dotted names, whatever the hosts are called."""
    strange = sorted(sorted(facts.items()) for hosts in strange_hosts for facts in hosts.values())
    return {f"{OTHERS}{place}.{name}": value for place, facts in enumerate(strange) for name, value in facts}


def _leaves(record: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """A nested record as dotted names with values in words."""
    inside = record.items() if isinstance(record, dict) else enumerate(record) if isinstance(record, list) else ()
    if not isinstance(record, dict | list):
        yield name, _text(record)
    for key, value in inside:
        yield from _leaves(value, f"{name}.{key}" if name else str(key))


def _text(value: Any) -> str:
    if value is None:
        return UNKNOWN
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
