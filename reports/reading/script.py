"""How the work of a user's script grows with its devices, by the samples that its ranks' steps were handed."""

from collections.abc import Mapping

from harness.journal.plan import Plan, Scaling
from harness.journal.records import CellRecord, RankFacts


def with_scaling(plan: Plan, records: Mapping[tuple[int, int, str], CellRecord]) -> Plan:
    """The plan, and for a script whose user said nothing of it the scaling that its records show."""
    if plan.script is None or not plan.script.detects_scaling:
        return plan
    comparisons = tuple(
        comparison.model_copy(
            update={
                "scaling": scaling(
                    [record.facts for (_, place, _), record in records.items() if place == index and record.facts]
                )
            }
        )
        for index, comparison in enumerate(plan.comparisons)
    )
    return plan.model_copy(update={"comparisons": comparisons})


def scaling(cells: list[tuple[RankFacts, ...]]) -> Scaling:
    """Weak where each rank's step has as many samples on any number of devices; strong where all ranks together have.

    None where only one number of devices was measured, or where it is neither.
    """
    alike = len({len(ranks) for ranks in cells}) <= 1
    if alike or any(rank.items <= 0 for ranks in cells for rank in ranks):
        return "none"
    if len({rank.items for ranks in cells for rank in ranks}) == 1:
        return "weak"
    return "strong" if len({sum(rank.items for rank in ranks) for ranks in cells}) == 1 else "none"
