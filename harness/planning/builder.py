"""From what a user asked for to a plan. Every rule of the command line is judged here, before anything is written."""

import itertools
from collections.abc import Sequence
from typing import get_args

from harness import __version__
from harness.common.errors import UsageError
from harness.common.text import nearest
from harness.device import affinity, device
from harness.device.kinds import kind_of
from harness.journal.emulation import Emulation
from harness.journal.plan import Case, Comparison, Placement, Plan, Value, most_launches
from harness.planning.budget import above_zero, effort, fraction
from harness.planning.emulation import emulation
from harness.planning.regime import regime
from harness.planning.request import RunRequest
from harness.planning.sides import of_launchers
from harness.plugins import floor_and_ceiling, registry, roofline, source_digest
from harness.plugins.fields import split

PRESETS = ("smoke", "chapter", "full")
EVERY_SCENARIO = PRESETS[1:]
"""Presets that select more scenarios than a default run: those that answer an exercise, or all."""
SELECTION = {
    "collectives": "how=library,by_hand",
    "data_parallel": "how=default,manual,small_buckets",
    "loader": "how=workers,inline,resident",
}
"""What is measured on several devices where neither a scenario nor a preset is named: what most people scale.

Of the variants those that differ most, so that six launches fit in three minutes.
"""
ON_ONE = ("tying", "frobenius", "split")
"""The same on one device, where nothing can scale: it says something within minutes everywhere."""
FEW, EVERY = 6, 4
"""With more comparisons than this, only every fourth has probes; they bound the next comparisons too."""


def make(request: RunRequest, ranks: tuple[int, int] | None = None) -> Plan:
    """The plan for a run request. Raises UsageError.

    ``ranks`` is how many there are already, under somebody's torchrun: in all, and on this host.
    """
    above_zero("--threads", request.threads)
    above_zero("--deadline", request.deadline_s)
    if request.preset is not None and request.preset not in PRESETS:
        raise UsageError(
            "--preset", f"be one of {', '.join(PRESETS)}", repr(request.preset), nearest(request.preset, PRESETS)
        )
    emulated = emulation(request.devices, request.emulate)
    if request.nodes is None or emulated:
        devices = device.parse(request.devices, request.threads, share=request.share_device)
    else:
        devices = device.of_cluster(request.devices, request.threads, request.nodes)
    if ranks is not None:
        devices = _one_each(devices, *ranks, share=request.share_device)
    refuse_sharing(devices, allowed=request.share_device)
    sizes = world_sizes(request.world_sizes, len(devices))
    sides = request.sides or of_launchers(request.launcher, len(devices), inside=ranks is not None)
    launchers = [side.launcher for side in sides]
    _placement(request, sizes[-1], launchers)
    if emulated and "ray" in launchers:
        raise UsageError("--launcher", "be torchrun or inline for emulated devices", "ray", "leave it out")
    if emulated and ranks is not None and ranks[0] != ranks[1]:
        fault = f"has {ranks[1]} of {ranks[0]} ranks on this host, but emulated devices need all ranks on one host"
        raise UsageError("torchrun", fault, None, "emulate the hosts: --devices emulated:4x8")
    if request.nodes is not None and set(launchers) != {"ray"}:
        _here(devices[: sizes[-1]], request.threads)
    comparisons = _comparisons(request, sizes, devices, _host_ranks(sizes[-1], ranks, emulated))
    budget_s, launches, precision = effort(request, comparisons, sides, joined=ranks is not None)
    if launches > most_launches(comparisons):
        rule = f"be at most {most_launches(comparisons)} for these cases"
        raise UsageError("--launches", rule, launches, "use fewer, or fewer scenarios")
    return Plan(
        version=__version__,
        command=request.command,
        sides=sides,
        placement=request.placement,
        ray_address=request.ray_address if "ray" in launchers else None,
        devices=devices[: sizes[-1]] if ranks is None else devices,
        emulation=emulated,
        ranks_per_host=None if ranks is None else ranks[1],
        world_sizes=sizes,
        threads=request.threads,
        launches=launches,
        seed=request.seed,
        budget_s=budget_s,
        strict=request.budget_s == budget_s,
        deadline_s=request.deadline_s,
        precision=precision,
        margin=fraction("--margin", request.margin, zero=True, example="5%"),
        cache=request.cache,
        execution=request.execution,
        gloo_loop=request.gloo_loop,
        profile=request.profile,
        regime=regime(request, devices, emulated),
        comparisons=comparisons,
    )


def _host_ranks(size: int, ranks: tuple[int, int] | None, emulated: Emulation | None) -> int | None:
    """Number of the first ``size`` ranks on each host; None if one host has them all, or if some are idle."""
    total, local = ranks or (size, size)
    if emulated is not None:
        total, local = emulated.devices, emulated.devices_per_host
    return local if size == total > local else None


def refuse_sharing(devices: tuple[str, ...], *, allowed: bool) -> None:
    """Refuse a device that several ranks share, unless that is meant: NCCL takes one rank a GPU."""
    shared = len(set(devices)) < len(devices)
    if shared and not allowed:
        remedy = "add --share-device to test several ranks on one GPU, over gloo and without any scaling figure"
        fault = f"names a GPU twice ({','.join(devices)}), but NCCL needs one GPU per rank"
        raise UsageError("--devices", fault, None, remedy)
    if allowed and not shared:
        remedy = "leave it out, or name a GPU as often as it is to have ranks (--devices cuda:0,0), or more CPU devices"
        fault = f"needs a GPU that --devices names twice, or more ranks than CPU devices (got {','.join(devices)})"
        raise UsageError("--share-device", fault, None, f"{remedy} than there are (--devices cpu:N)")


def _one_each(devices: tuple[str, ...], ranks: int, local: int, *, share: bool) -> tuple[str, ...]:
    """A device for each rank of an external torchrun, in turn if they ``share``; numbered throughout several hosts."""
    if affinity.bound() and devices[0] == "cpu:0":  # each has its own first core
        devices = tuple(f"cpu:{index}" for index in range(local))
    if share and ranks == local > len(devices):
        return tuple(devices[index % len(devices)] for index in range(local))
    if local > len(devices):
        remedy = f"start {len(devices)} or fewer ranks, or add --share-device to test more, without any scaling figure"
        if affinity.DROPPED:
            remedy = f"unset {affinity.DROPPED[0]}: it bound torchrun, and all that it starts, to one core"
        raise UsageError("--nproc-per-node", f"be at most the {len(devices)} devices", local, remedy)
    if ranks == local:
        return devices[:ranks]
    if ranks % local:
        fault = f"must be the same on every host, but this host has {local} of {ranks} ranks"
        raise UsageError("--nproc-per-node", fault, None, "start the same number on each host")
    kind = devices[0].partition(":")[0]
    if devices[:local] != tuple(f"{kind}:{index}" for index in range(local)):
        fault = f"cannot select single devices on several hosts (got {','.join(devices)})"
        raise UsageError("--devices", fault, None, f"use --devices {kind}")
    return tuple(f"{kind}:{index}" for index in range(ranks))


def world_sizes(text: str | None, have: int) -> tuple[int, ...]:
    """Powers of two up to the number of devices, and that number; or what the user said."""
    if text is None:
        return tuple(sorted({2**k for k in range(have.bit_length()) if 2**k <= have} | {have}))
    parts = text.split(",")
    sizes = sorted({int(part) for part in parts if part.strip().isdecimal()})
    if len(sizes) != len(parts) or not sizes or sizes[0] < 1:
        raise UsageError("--world-sizes", "be distinct positive numbers", repr(text), "e.g. --world-sizes 1,2")
    if sizes[-1] > have:
        remedy = f"name more --devices, or use {have} or fewer"
        raise UsageError("--world-sizes", f"be at most the {have} devices", sizes[-1], remedy)
    return tuple(sizes)


def _placement(request: RunRequest, size: int, launchers: Sequence[str]) -> None:
    """Refuse what Ray could never place: it would wait for ever."""
    known = get_args(Placement)
    if request.placement not in known:
        raise UsageError("--placement", f"be one of {', '.join(known)}", repr(request.placement), f"e.g. {known[0]}")
    if request.share_device and "ray" in launchers:
        fault = f"cannot be combined with --launcher {request.launcher}: Ray gives each rank a device of its own"
        raise UsageError("--share-device", fault, None, "use --launcher torchrun")
    nodes = len(request.nodes or (None,))
    if "ray" in launchers and request.placement == "strict-spread" and size > nodes:
        remedy = "use --placement spread, or smaller --world-sizes"
        fault = f"needs one node per rank, but there are {size} ranks and {nodes} node{'s' * (nodes > 1)}"
        raise UsageError("--placement strict-spread", fault, None, remedy)


def _here(devices: Sequence[str], threads: int) -> None:
    """Refuse devices of a cluster that this host does not have, for launchers of this host alone."""
    kind = devices[0].partition(":")[0]
    indices = range(len(devices))
    device.parse(f"cpu:{len(indices)}" if kind == "cpu" else f"cuda:{','.join(map(str, indices))}", threads)


def _entries(names: Sequence[str], preset: str | None, most: int) -> list[registry.Entry]:
    """The scenarios that a user selects, on at most ``most`` devices."""
    if not names and preset == "chapter":
        return [entry for entry in registry.scenarios().values() if entry.exercises]
    if not names and preset in EVERY_SCENARIO:
        return [entry for entry in registry.scenarios().values() if entry.ranks[0] <= most]
    return registry.chosen(names or (tuple(SELECTION) if most > 1 else ON_ONE))


def _settings(settings: Sequence[str], entries: Sequence[registry.Entry]) -> dict[tuple[str, str], tuple[Value, ...]]:
    """``scenario.axis=v1,v2`` as values by scenario and axis; a comma within a value has a backslash before it."""
    by_name = {entry.name: entry for entry in entries}
    values = {}
    for setting in settings:
        left, equals, right = setting.partition("=")
        name, dot, field = left.partition(".")
        if not (equals and dot):
            raise UsageError(
                "--set", "read scenario.axis=value[,value]", repr(setting), "e.g. --set split.size=1024,2048"
            )
        if name not in by_name:
            raise UsageError("--set", "name a scenario of this run", repr(name), nearest(name, by_name))
        if len({entry.reference for entry in entries if entry.name == name}) > 1:
            fault = f"is ambiguous: this run has two scenarios {name!r}"
            raise UsageError("--set", fault, None, "measure each in a run of its own")
        values[name, field] = tuple(dict.fromkeys(by_name[name].value(field, text) for text in split(right)))
    return values


def _points(
    entry: registry.Entry, settings: dict[tuple[str, str], tuple[Value, ...]], preset: str | None
) -> list[dict[str, tuple[Value, ...]]]:
    """Every point of the sweep over the axes but the variant, each with the variant's values."""
    values = {name: settings.get((entry.name, name), entry.sweep(name, preset)) for name in entry.defaults}
    axes = [name for name in values if name != entry.variant_field]
    variants = {entry.variant_field: values[entry.variant_field]} if entry.variant_field else {}
    return [
        {name: (value,) for name, value in zip(axes, point, strict=True)} | variants
        for point in itertools.product(*(values[name] for name in axes))
    ]


def _comparisons(
    request: RunRequest, sizes: tuple[int, ...], devices: tuple[str, ...], host_ranks: int | None
) -> tuple[Comparison, ...]:
    """A comparison for each point of each scenario's sweep."""
    entries = _entries(request.names, request.preset, sizes[-1])
    selected = () if request.names or request.preset in EVERY_SCENARIO or sizes[-1] == 1 else SELECTION.items()
    settings = _settings([*(f"{name}.{fields}" for name, fields in selected), *request.settings], entries)
    points = [(entry, params) for entry in entries for params in _points(entry, settings, request.preset)]
    copied = sizes if request.preset != "chapter" else ()
    every = 1 if len(points) <= FEW else EVERY
    probes = [
        _probes(request, sizes, devices, first=place == 0) if place % every == 0 else () for place in range(len(points))
    ]
    comparisons = (
        _comparison(entry, params, fit, _copies(entry, fit, copied, host_ranks, sizes[-1]), probed)
        for (entry, params), probed in zip(points, probes, strict=True)
        for fit in (_sensible(entry, sizes),)
    )
    return tuple(
        comparison.model_copy(update={"exercises": tuple(exercise.on(devices[0]) for exercise in comparison.exercises)})
        for comparison in comparisons
    )


def _probes(request: RunRequest, sizes: tuple[int, ...], devices: tuple[str, ...], *, first: bool) -> Sequence[Case]:
    """Floor and ceilings beside a comparison; roofs once a launch are enough.

    A duel asks for no ceiling: its time is for the ratios.
    """
    if not kind_of(devices[0]).probed:
        return ()
    if request.sides:
        return floor_and_ceiling.floors(sizes)
    if not first:
        return floor_and_ceiling.cases(sizes)
    shared, on_gpu = len(set(devices)) < len(devices), kind_of(devices[0]).accelerator
    return [
        *floor_and_ceiling.cases(sizes),
        *(roofline.cases(sizes, shared=shared) if on_gpu else roofline.of_memory()),
    ]


def _sensible(entry: registry.Entry, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes that make sense for a scenario. Raises UsageError where none does."""
    least, most = entry.ranks
    sensible = tuple(size for size in sizes if size >= least and (most is None or size <= most))
    if not sensible:
        rule = f"have a size of {least} or more" if most is None else f"have a size from {least} to {most}"
        named = ",".join(map(str, sizes))
        raise UsageError("--world-sizes", f"{rule} for {entry.name}", named, "name other sizes, or more --devices")
    return sensible


def _copies(
    entry: registry.Entry, sizes: Sequence[int], copied: Sequence[int], host_ranks: int | None, total: int
) -> list[tuple[int, int]]:
    """Packed copies: ranks in all, and of each. Of one device at the sizes ``copied``, and of all of each host.

    They say something of a scenario that scales: those of one device beside a lone one, those of hosts by themselves.
    """
    if entry.scaling == "none":
        return []
    least, most = entry.ranks
    of_devices = [(size, 1) for size in copied if size > 1 and sizes[0] == 1 and size in sizes]
    of_hosts = [(total, host_ranks)] if host_ranks and least <= host_ranks <= (most or total) else []
    return list(dict.fromkeys([*of_devices, *of_hosts]))


def _comparison(
    entry: registry.Entry,
    point: dict[str, tuple[Value, ...]],
    sizes: tuple[int, ...],
    copies: Sequence[tuple[int, int]],
    probes: Sequence[Case],
) -> Comparison:
    """One comparison at every size, with packed ``copies`` (all ranks, ranks per copy) and ``probes``."""
    params = {name: values[0] for name, values in point.items() if name != entry.variant_field}
    variants = point[entry.variant_field] if entry.variant_field else (None,)
    cases = []
    for value in variants:
        values = params if value is None or entry.variant_field is None else params | {entry.variant_field: value}
        variant = None if value is None else str(value)
        cases += [
            Case(
                scenario=entry.name,
                reference=entry.reference,
                params=values,
                variant=variant,
                world_size=size,
                packed=copy_size is not None,
                copy_size=copy_size or 1,
            )
            for size, copy_size in (*((size, None) for size in sizes), *copies)
        ]
    return Comparison(
        scenario=entry.name,
        title=entry.title,
        exercises=entry.exercises,
        scaling=entry.scaling,
        variant_field=entry.variant_field,
        baseline=entry.baseline
        if entry.baseline in [str(variant) for variant in variants]
        else (str(variants[0]) if variants[0] is not None else None),
        params=params,
        code=source_digest.digest(entry.cls),
        cases=(*cases, *probes),
    )
