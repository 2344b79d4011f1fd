"""What is measured where neither a scenario nor a preset is named."""

from harness.planning.builder import make
from harness.planning.request import RunRequest


def variants(request: RunRequest) -> dict[str, set[str]]:
    """The variants that are measured of each scenario."""
    return {
        comparison.scenario: {case.variant for case in comparison.cases if case.variant}
        for comparison in make(request).comparisons
    }


def test_six_launches_of_the_selection_fit_in_three_minutes() -> None:
    plan = make(RunRequest(devices="cpu:2"))
    assert plan.launches == 6 and plan.budget_s < 175  # the rest is for start and report


def test_the_selection_measures_the_variants_that_differ_most_unless_others_are_named() -> None:
    usual = variants(RunRequest(devices="cpu:2"))
    assert usual["loader"] == {"workers", "inline", "resident"}  # pinned memory is for GPUs
    named = variants(RunRequest(devices="cpu:2", settings=("loader.how=pinned,workers",)))
    assert named == usual | {"loader": {"pinned", "workers"}}
    assert variants(RunRequest(names=["loader"], devices="cpu:2"))["loader"] == {*usual["loader"], "pinned"}
