"""Roofs: probes, most for GPUs only, right on any device; figures that stay below the roof of their own numbers."""

from __future__ import annotations

import pytest
import torch

from harness.journal.measurement_warnings import Kind
from harness.planning.builder import make
from harness.planning.request import RunRequest
from harness.plugins import roofline
from harness.plugins.registry import load
from harness.work.counting import count
from reports.analysis import summary
from reports.text import units
from tests import factories
from tests.pages import text_of
from tests.ranks import gang

WHOLE = "split[how=whole,size=1024]@1"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "PRODUCT", {"cpu": 64})
    monkeypatch.setattr(roofline, "HOST_BYTES", 2**16)


@pytest.mark.parametrize("case", roofline.cases((1, 2), shared=False), ids=lambda case: case.key)
def test_every_roof_does_what_it_declares_and_its_check_can_fail(small: None, case) -> None:
    workload = load(case.reference).cls(**case.params).prepare(gang(0, 1))
    workload.reset()
    output = workload.step()
    workload.check(output)
    seen = count(workload.step)
    assert seen.flops == workload.work.flops
    assert bool(workload.work.flops) == case.scenario.startswith("gemm")
    workload.reset()
    with pytest.raises(AssertionError):
        workload.check(output * 2 if workload.work.flops else output)


def test_the_types_of_products_are_told_and_tf32_is_put_back(small: None) -> None:
    told = {name: count(roofline.Product(format=name).prepare(gang(0, 1)).step).products for name in ("bf16", "fp16")}
    assert told == {"bf16": {"bfloat16"}, "fp16": {"float16"}}
    before = torch.get_float32_matmul_precision()
    assert count(roofline.Product(format="tf32").prepare(gang(0, 1)).step).products == {"float32"}  # on a CPU
    assert torch.get_float32_matmul_precision() == before


def test_roofs_are_measured_once_a_launch_on_devices_of_their_own_and_of_a_cpu_its_memory_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def planned(**run_request) -> list[list[str]]:
        plan = make(RunRequest(names=["split", "frobenius"], **run_request))
        probes = [[case for case in each.cases if case.probe] for each in plan.comparisons]
        return [[case.key for case in each if "roofline" in case.reference] for each in probes]

    assert planned(devices="cpu:1") == [["copy[way=copy]@1"], []]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    first, second = planned(devices="cuda")
    assert second == []
    assert first == [
        *(f"gemm_{name}[format={name}]@1" for name in ("tf32", "bf16", "fp16")),
        *(f"{way}[way={way}]@1" for way in ("copy", "upload", "download")),
        *("upload[way=upload]@1x2", "download[way=download]@1x2"),
    ]
    assert not any("x2" in key for key in planned(devices="cuda:0,0", share_device=True)[0])


def rows(tmp_path, **changes):
    changes = {"noise": 0.0, "launch_noise": 0.0, "roofs": True} | changes
    found = summary.summarise(factories.build(tmp_path / "run", **changes))
    return found, {row.key: row for row in found.cells}


def test_a_rate_is_held_against_the_roof_of_its_own_numbers(tmp_path) -> None:
    """4 GFLOP in 30 ms is below what bf16 reaches, and above what fp32 does."""

    def truth(case):
        return 0.03 if not case.probe else factories.work_time(case)

    products = {"fp32": ("float32",), "both": ("bfloat16", "float32"), "other": ("float64",)}
    products |= {"bf16": ("bfloat16",), "tf32": ("tf32",), "fp16": ("float16",)}
    doubted = {}
    for name, types in products.items():
        _, told = rows(tmp_path / name, truth=truth, counted=lambda *_, types=types: {"products": types})
        doubted[name] = Kind.ABOVE_CEILING in {each.kind for each in told[WHOLE].warnings}
        assert (told[WHOLE].roof is None) == (name == "other")
    assert doubted == dict.fromkeys(products, False) | {"fp32": True}


@pytest.mark.parametrize("name", ["bfloat16", "tf32", "float16"])
def test_what_is_above_the_roof_of_its_own_numbers_is_flagged(tmp_path, name) -> None:
    """4 GFLOP in 10 ms are twice what any large product reaches, which does 192 MFLOP in 1 ms."""

    def truth(case):
        return 0.01 if not case.probe else factories.work_time(case)

    _, told = rows(tmp_path, truth=truth, counted=lambda *_: {"products": (name,)})
    assert Kind.ABOVE_CEILING in {each.kind for each in told[WHOLE].warnings}


@pytest.mark.parametrize(
    ("moved", "step_s", "limit"), [(4e10, 0.1, None), (6e10, 0.1, 2), (1e8, 1e-4, None), (1e8, 2e-5, 10)]
)
def test_bytes_that_no_memory_delivers_are_flagged(tmp_path, moved, step_s, limit) -> None:
    """A copy moves 250 GB/s in this run. Work in place or in a cache may pass that, and what is not read by far."""

    def truth(case):
        return step_s if not case.probe else factories.work_time(case)

    _, told = rows(tmp_path, truth=truth, moved=moved)
    assert told[WHOLE].byte_roof == pytest.approx(2.5e11)
    assert told["split[how=whole,size=1024]@2"].byte_roof == pytest.approx(5e11)
    facts = [each.fact for each in told[WHOLE].warnings if each.kind is Kind.ABOVE_BANDWIDTH]
    copied = f"but copies in memory reached 250{units.THIN}GB/s (limit {limit}{units.TIMES})"
    assert facts == [f"{units.quantity(moved / step_s, 'B/s')}, {copied}"] * (limit is not None)


def test_the_roofs_are_rates_in_their_own_unit(tmp_path) -> None:
    found, told = rows(tmp_path)
    rates = {row.probe: (row.rate, row.unit) for row in found.roofs if row.world_size == 1}
    assert rates["gemm_bf16"] == (pytest.approx(1.2 * factories.FLOPS * 0.04 / 1e-3), "FLOP")
    assert rates["upload"] == (pytest.approx(2.5e11), "B")
    assert list(rates) == ["gemm", *factories.ROOFS]
    assert told[WHOLE].roof == pytest.approx(rates["gemm"][0])


def test_without_a_gpu_there_is_the_product_s_alone(tmp_path) -> None:
    found, told = rows(tmp_path, roofs=False)
    assert [(row.probe, row.world_size) for row in found.roofs] == [("gemm", 1), ("gemm", 2)]
    assert told[WHOLE].roof == found.roofs[0].rate
    assert told["split[how=whole,size=1024]@2"].roof == found.roofs[1].rate
    found, told = rows(tmp_path / "none", roofs=False, probes=False)
    assert found.roofs == () and told[WHOLE].roof is None


def test_the_page_shows_them(tmp_path) -> None:
    from reports.page import page

    run = factories.build(tmp_path / "run", roofs=True)
    page.write(run)
    text = run.page_path.read_text()
    assert "<h3>Roofs</h3>" in text and "large product, bf16" in text and "of the roof" in text
    assert f"250{units.THIN}GB/s" in text
    bare = factories.build(tmp_path / "bare", probes=False)
    page.write(bare)
    assert "<h3>Roofs</h3>" not in bare.page_path.read_text()


def test_a_roof_is_the_greatest_rate_over_the_comparisons_and_says_beside_which(tmp_path) -> None:
    def faster(case):
        return factories.work_time(case) * (0.8 if case.probe else 1)

    first, second = factories.Synthetic(), factories.Synthetic(scenario="frobenius", truth=faster)
    run = factories.build(tmp_path / "run", first, second)
    found = summary.summarise(run)
    assert [(row.probe, row.world_size, row.comparison) for row in found.roofs] == [("gemm", 1, 1), ("gemm", 2, 1)]
    assert all(
        row.roof < next(each.rate for each in found.roofs if each.world_size == row.world_size)
        for row in found.cells
        if row.comparison == 0 and row.roof
    )
    text = text_of(run)
    assert "The greatest rate that each probe reached in any comparison" in text
    assert '<th scope="row">large product, fp32</th><td>frobenius</td>' in text
    assert "a rate beyond 1.05 of its ceiling is an error of measurement" in text
