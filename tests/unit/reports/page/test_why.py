"""The page tells why as the summary does; what was not measured stands apart, and nothing is invented."""

import json
import re

import pytest

from reports.analysis import summary
from reports.text import units
from tests import factories
from tests.pages import Checked, text_of

HOSTILE = "</svg><script>alert(1)</script>"
COUNTS = (1, 2, 4, 8)


def spaced(text):
    """As it is read: without what tables are sorted by."""
    return re.sub(r' data-v="[^"]*"', "", text).replace(units.THIN, " ").replace(units.TIMES, "x")


def part(text, name):
    """From the element with this id to the next heading of its level."""
    after = text.partition(f'id="{name}"')[2]
    return re.split(r'<h2 id="|</main>', after.partition("</h2>")[2])[0]


def roomy(run, cores=64):
    told = json.loads(run.environment_path.read_text())
    run.environment_path.write_text(json.dumps(told | {"host": told["host"] | {"cores": cores}}))
    return run


def watched(case):
    return [0.1 / case.world_size * (1.2 if rank == 1 else 1.0) for rank in range(case.world_size)], 0.002


@pytest.fixture(scope="module")
def projected(tmp_path_factory):
    like = {"world_sizes": COUNTS, "variants": ("whole", HOSTILE), "watched": watched, "sizes": (512, 1024)}
    run = roomy(factories.build(tmp_path_factory.mktemp("why") / "run", **like))
    return summary.summarise(run), text_of(run)


def test_what_was_not_measured_stands_apart_and_is_the_summarys(projected):
    found, text = projected
    outside = text.replace(part(text, "projection"), "")
    assert "Not measured: " not in outside.partition('id="method"')[0]
    own = spaced(part(text, "projection"))
    assert own.count("<svg ") == len({row.comparison for row in found.projection}) == 2
    for row in found.projection:
        assert row.points
        for point in row.points[1:]:
            assert f">{spaced(units.span(point.speedup_low, point.speedup_high, point.speedup_high))}x<" in own
    rows = sum(len(row.points) - 1 for row in found.projection)
    assert own.count("<tr") == rows + 1


def test_hostile_variants_stay_text_in_it(projected):
    _, text = projected
    Checked(text)
    assert text.count("<script") == 1  # the page's own
    assert "&lt;/svg&gt;&lt;script" in part(text, "projection")


def test_bands_are_hatched_and_their_ends_dashed(projected):
    figure = re.findall(r"<svg.*?</svg>", part(projected[1], "projection"), flags=re.DOTALL)[0]
    assert len(re.findall(r"<pattern ", figure)) == 2
    dashed = re.findall(r"\.(p\d+) {[^}]*stroke-dasharray", projected[1])
    paths = [path for path, look in re.findall(r'<path d="([^"]*)" class="(p\d+)"', figure) if look in dashed]
    lines = sum(path.count("M") for path in paths) + figure.count("stroke-dasharray")
    assert lines >= 2 * 2 + 2  # both ends of each variant's band, ideal, the border


def test_one_sentence_says_why_nothing_is_projected(tmp_path):
    text = part(text_of(factories.build(tmp_path / "run")), "projection")
    assert "No projection: it needs 4 device counts, and this run has 2 (1 and 2)." in text
    assert "<svg" not in text
    assert "<table" not in text


def test_several_reasons_are_told_one_by_one(tmp_path):
    key = "split[how=pieces,size=1024]@4"
    run = roomy(factories.build(tmp_path / "run", world_sizes=COUNTS, outcomes={(0, key): ("wrong", 1, "differs")}), 8)
    text = part(text_of(run), "projection")
    assert "<code>split how=whole</code>: no projection: 16 devices are not predictable" in text
    assert "<code>split how=pieces</code>: no projection: it needs 4 device counts" in text


def test_a_run_on_one_device_has_no_such_part(tmp_path):
    text = text_of(factories.build(tmp_path / "run", world_sizes=(1,)))
    assert 'id="projection"' not in text
    assert 'id="why"' not in text


def test_seconds_are_the_summarys_and_what_is_not_sure_is_faint(projected):
    found, text = projected
    own = spaced(part(text, "why"))
    for row in found.losses:
        for seconds_part in row.parts.values():
            shown = spaced(units.signed(seconds_part.seconds, seconds_part.low, seconds_part.high)).partition(" [")[0]
            assert (f'<td class="n">{shown} ' if seconds_part.sure else f"<small>{shown} ") in own
        assert f'<td class="n">{spaced(units.seconds(row.ideal_s))}</td>' in own
    assert own.count('<td class="n mark">1</td>') == len(found.losses)
    assert own.count("1 collective<") == len(found.losses)
    waits = own.partition("Work, waiting and transfer")[2]
    assert waits.count("<tr") == 1 + sum(row.world_size for row in found.losses)


def test_of_each_effect_the_greatest_is_shown(tmp_path):
    run = factories.build(tmp_path / "run", drift=-0.3, noise=0.02, clock=lambda place, _: (1980 - 10 * place, 4))
    found, text = summary.summarise(run), spaced(part(text_of(run), "steadiness"))
    for case in found.cells:
        own = [row for row in found.health if row.key == case.key]
        drift = min(row.drift for row in own)
        assert f'<td class="n">{spaced(units.deviation(drift))}</td>' in text
        assert spaced(units.deviation(drift)).startswith("−3")
    assert text.count(f"{min(row.clock_low_mhz for row in found.health):.0f} MHz, 100 %") == len(found.cells)


def test_differences_have_signs():
    shown = [spaced(units.deviation(value)) for value in (0.032, -0.12, 0.0, None)]
    assert shown == ["+3.2 %", "−12 %", "0 %", units.NONE]
