"""The chapter's exercises: what each asks, and the sentence with which a run answers it.

Chapter 5 of *Dive into Deep Learning*, PyTorch edition, in our own words. Figures of the run stand in braces,
``{arm.figure}`` (docs/scenarios.md says which there are); what a figure rests on has passed its check.
"""

from __future__ import annotations

from harness.scenario import Exercise

_EXERCISES = (
    Exercise(
        number="5.6.3",
        task=(
            "Multiply 1000 pairs of 100 × 100 matrices and log the Frobenius norm of each product: "
            "one result at a time, or kept on the device and transferred once at the end."
        ),
        answer=(
            "Logging each norm as it is computed takes {each.time}, keeping the log on the device {deferred.time}: "
            "{deferred.versus}. Spread over the devices, the first is {each.speedup}."
        ),
    ),
    Exercise(
        number="5.6.4",
        task=(
            "Compute two matrix products on two devices at once, and compare it with one device "
            "that computes them in sequence."
        ),
        answer=(
            "One device takes {whole.time} for both. With a whole product on each device it is {whole.speedup}; "
            "with every product split by columns, {columns.speedup}; split along the inner dimension and reduced, "
            "{inner.speedup}."
        ),
    ),
)


def exercises(*numbers: str) -> tuple[Exercise, ...]:
    """The exercises with these numbers, in this order."""
    known = {exercise.number: exercise for exercise in _EXERCISES}
    return tuple(known[number] for number in numbers)
