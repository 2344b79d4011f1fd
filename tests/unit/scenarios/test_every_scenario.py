"""Every scenario of the catalog, in every variant: right on one device and on two, and as much work as its kind says.

And every answer of the chapter quotes figures that there are.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from string import Formatter
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from harness.gang import Gang
from harness.journal.plan import Case, Comparison
from harness.journal.records import RankFacts
from harness.planning.builder import RunRequest, make
from harness.plugins import registry
from harness.scenario import Skip, Work
from harness.work import contract, counting
from harness.work.counting import Count
from tests.ranks import Ranks, gang

SMALL = {
    "checkpoint_async": {"size": 4096, "width": 64},
    "collectives": {"size": 4096},
    "compile": {"width": 64, "layers": 1, "context": 16, "backend": "aot_eager"},
    "context": {"length": 128},
    "data_parallel": {"width": 64, "context": 16},
    "experts": {"tokens": 64, "width": 32},
    "links": {"size": 4096},
    "loader": {"size": 1024},
    "optimizer": {"width": 64},
    "overlap": {"width": 64, "size": 4096},
    "pipeline": {"width": 32},
    "shard": {"width": 64, "context": 16},
    "tensor_parallel": {"width": 64, "tokens": 64},
    "branches": {"features": 64, "width": 32},
    "children": {"depth": 8},
    "frobenius": {"matrices": 50, "size": 20},
    "instances": {"width": 32, "hidden": 16},
    "load": {"width": 64},
    "part": {"width": 64},
    "program": {"layers": 1, "width": 64},
    "quadratic": {"inputs": 16, "outputs": 6},
    "restore": {"width": 64},
    "resume": {"width": 16, "steps": 12, "saved": 9},
    "save": {"width": 64},
    "split": {"size": 64},
    "symmetry": {"length": 64},
    "tying": {"width": 32},
    "widths": {"widest": 64, "hidden": 16, "samples": 64},
}
"""So that it takes no time; the others are small by default."""
UNEVEN = {("links", "one_way"), ("load", "broadcast"), ("save", "dcp"), ("restore", "dcp"), ("crossover", "copied")}
"""Where one rank does by design what the declared work does not tell."""
SKIPPED = {("shard", "hybrid", 1), ("shard", "hybrid", 2), ("loader", "pinned", 1), ("loader", "pinned", 2)}
"""What two CPU devices cannot do."""
ENTRIES = registry.scenarios()
FIGURES = {"time", "versus", "speedup", "ideal", "ceiling", "held", "memory", "traffic", "reads", "crossover"}
"""What the report knows of every variant."""


@dataclass(frozen=True)
class Told:
    """What a rank has to say of a case."""

    wrong: str
    found: dict[str, Any]
    work: Work
    count: Count
    made: int
    """Bytes of the tensors that a step returns."""
    asymmetric: bool


def told(mine: Gang, reference: str, params: dict[str, Any]) -> Told | None:
    """Three steps on a rank, in the harness's order; None where the scenario says that the case makes no sense here."""
    try:
        workload = registry.load(reference).cls(**params).prepare(mine)
    except Skip:
        return None
    try:
        workload.reset()
        workload.step()
        workload.reset()
        count = counting.count(workload.step)
        workload.reset()
        output = workload.step()
        mine.barrier()
        try:
            wrong, found = "", dict(contract.check(workload, output, 1) or {})
        except AssertionError as error:
            wrong, found = str(error) or "wrong", {}
        return Told(wrong, found, workload.work, count, made(output), workload.asymmetric)
    finally:
        workload.close()
        mine.barrier()
        shutil.rmtree(mine.folder, ignore_errors=True)
        mine.barrier()


def made(output: Any) -> int:
    leaves = (
        leaf
        for each in tree_leaves(output)
        for leaf in (each.state_dict().values() if isinstance(each, nn.Module) else [each])
        if isinstance(leaf, torch.Tensor)
    )
    return sum({leaf.data_ptr(): leaf.nbytes for leaf in leaves}.values())


@pytest.fixture(scope="module", params=ENTRIES)
def measured(
    request: pytest.FixtureRequest, two_ranks: Ranks, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Comparison, dict[Case, list[Told]]]:
    """A scenario's comparison, and what every rank said of each of its cases."""
    small = [f"{request.param}.{field}={value}" for field, value in SMALL.get(request.param, {}).items()]
    run_request = RunRequest(names=[request.param], devices="cpu:2", preset="smoke", settings=small)
    (comparison,) = make(run_request).comparisons
    cases = [case for case in comparison.cases if not (case.packed or case.probe)]
    folder = tmp_path_factory.mktemp("every") / "scratch"
    ranks = {
        case: [told(gang(0, 1, folder), case.reference, case.params)]
        if case.world_size == 1
        else two_ranks.do(told, case.reference, case.params)
        for case in cases
    }
    skipped = {(comparison.scenario, case.variant, case.world_size) for case, each in ranks.items() if None in each}
    assert skipped == {each for each in SKIPPED if each[0] == comparison.scenario}
    return comparison, {case: [rank for rank in each if rank] for case, each in ranks.items() if None not in each}


def test_it_is_right_on_one_device_and_on_two_and_does_what_its_scaling_kind_claims(measured: Any) -> None:
    comparison, ranks = measured
    entry = ENTRIES[comparison.scenario]
    assert {(case.variant, case.world_size) for case in ranks} == {
        (variant, size)
        for variant in entry.variants
        for size in (1, 2)
        if size >= entry.ranks[0] and (entry.name, variant, size) not in SKIPPED
    }
    for case, each in ranks.items():
        assert [rank.wrong for rank in each] == [""] * case.world_size, case.key
        if entry.scaling == "none" and entry.ranks[0] > 1:
            continue  # no claim is made, and there is no lone rank to compare with
        (alone,) = next(base for other, base in ranks.items() if (other.variant, other.world_size) == (case.variant, 1))
        times = 1 if entry.scaling == "strong" else case.world_size
        assert sum(rank.work.flops for rank in each) == pytest.approx(times * alone.work.flops), case.key
        assert sum(rank.work.items for rank in each) == pytest.approx(times * alone.work.items), case.key
        assert sum(rank.count.flops for rank in each) == times * alone.count.flops, case.key
        if entry.scaling == "weak":
            assert {(rank.work.flops, rank.count.flops, rank.made) for rank in each} == {
                (alone.work.flops, alone.count.flops, alone.made)
            }, case.key
        elif not alone.work.flops:  # bytes are its work, and what they become can be counted
            assert sum(rank.made for rank in each) == pytest.approx(alone.made, rel=0.01), case.key


def test_where_one_rank_does_more_the_work_tells_or_the_scenario(measured: Any) -> None:
    """Else the rank that is given more would be called slow."""
    comparison, ranks = measured
    for case, each in ranks.items():
        if case.world_size > 1:
            assert {rank.asymmetric for rank in each} == {(comparison.scenario, case.variant) in UNEVEN}, case.key


def test_the_ledger_has_nothing_against_it(measured: Any) -> None:
    comparison, ranks = measured
    facts = {
        case: [
            RankFacts.model_construct(
                flops=rank.work.flops,
                bytes=rank.work.bytes,
                items=rank.work.items,
                counted_flops=rank.count.flops,
                constant_operands=rank.count.constant_operands,
            )
            for rank in each
        ]
        for case, each in ranks.items()
    }
    assert counting.audit(comparison, facts) == ({}, {})


def quotes(answer: str) -> Iterator[tuple[str, str, bool, str]]:
    """Scenario (or nothing), variant, whether on the most devices, and figure."""
    for _, field, _, _ in Formatter().parse(answer.replace(".", "\0")):
        if field:
            who, figure = field.split("\0")
            scenario, _, variant = who.removesuffix("@most").rpartition("/")
            yield scenario, variant, who.endswith("@most"), figure


def test_its_answers_quote_figures_that_it_has(measured: Any) -> None:
    comparison, ranks = measured
    entry = ENTRIES[comparison.scenario]
    for exercise in entry.exercises:
        for scenario, variant, most, figure in (*quotes(exercise.answer), *quotes(exercise.on_cpu)):
            if scenario in ("", entry.name) and variant in entry.variants:
                (case,) = (case for case in ranks if (case.variant, case.world_size) == (variant, 1 + most))
                known = FIGURES | entry.defaults.keys() | ranks[case][0].found.keys()
                assert figure in known, (exercise.number, variant, figure)


def test_on_cpu_devices_no_answer_compares_the_cpu_with_itself() -> None:
    for device, quoted in (("cuda:0", {"resident", "copied"}), ("cpu:0", set())):
        (asked,) = (exercise.on(device) for exercise in ENTRIES["crossover"].exercises)
        crossings = {(variant, most) for _, variant, most, figure in quotes(asked.answer) if figure == "crossover"}
        assert {variant for variant, most in crossings if not most} == quoted
        assert {variant for variant, most in crossings if most} == {"resident", "copied"}  # more devices against one
    (planned,) = make(RunRequest(names=["crossover"], devices="cpu:1", preset="smoke")).comparisons
    assert planned.exercises[0].answer == ENTRIES["crossover"].exercises[0].on_cpu


def test_every_exercise_of_the_chapter_is_answered_and_every_quote_names_one_variant() -> None:
    asked = {exercise.number: exercise for entry in ENTRIES.values() for exercise in entry.exercises}
    last = {"1": 3, "2": 4, "3": 3, "4": 2, "5": 3, "6": 4}
    assert set(asked) == {f"5.{section}.{number}" for section in last for number in range(1, last[section] + 1)}
    for number, exercise in asked.items():
        quoted = list(quotes(exercise.answer))
        assert quoted, number
        for scenario, variant, *_ in quoted:
            having = [entry.name for entry in ENTRIES.values() if number in entry.numbers and variant in entry.variants]
            assert [name for name in having if scenario in ("", name)] in [[name] for name in having], (number, variant)
