"""The chapter's exercises: what each asks, and the sentence with which a run answers it.

Chapter 5 of *Dive into Deep Learning*, PyTorch edition, in our own words. Figures of the run stand in braces,
``{arm.figure}`` (docs/scenarios.md says which there are); what a figure rests on has passed its check.
"""

from __future__ import annotations

from harness.scenario import Exercise

_EXERCISES = (
    Exercise(
        number="5.1.1",
        task="What goes wrong when a sequential block keeps its children in a Python list?",
        answer="",
    ),
    Exercise(
        number="5.1.2",
        task="Write a block that takes two networks and returns their outputs concatenated: a parallel block.",
        answer="",
    ),
    Exercise(
        number="5.1.3",
        task="Write a factory that makes several instances of one block, and build a larger network from them.",
        answer="",
    ),
    Exercise(
        number="5.2.1",
        task="Access the parameters of every layer of a nested model.",
        answer="",
    ),
    Exercise(
        number="5.2.2",
        task="Look up the initialisers that there are, and what each does.",
        answer="",
    ),
    Exercise(
        number="5.2.3",
        task="Train a network with a shared layer, and observe the parameters and gradients of each layer.",
        answer="",
    ),
    Exercise(
        number="5.2.4",
        task="Why is it a good idea to share parameters?",
        answer="",
    ),
    Exercise(
        number="5.3.1",
        task="What happens when only the first layer's input dimension is given: is anything initialised at once?",
        answer=(
            "No: only the first layer is. {first.at_once} of {first.parameters} parameters exist before the first "
            "batch, which initialises the others; where no layer is told its inputs, {lazy.at_once}. With one seed "
            "the weights are the same. The first output, construction included, takes {first.time} ({first.versus}) "
            "and {first.memory}; with every dimension given {eager.time} and {eager.memory}."
        ),
    ),
    Exercise(
        number="5.3.2",
        task="What happens when dimensions do not match?",
        answer=(
            "Construction raises nothing; a forward pass does, at the layer that cannot multiply: "
            "“{forward.reason}”. If that is the last, it takes {forward.time} to get there, and a lazy layer on the "
            "way stays initialised. A dry run on the meta device takes {meta.time} and changes nothing; it overtakes "
            "the forward pass {meta.crossover}. Held against the target's shape, it also shows {meta.silent} "
            "mismatches that raise nothing; the widths that layers declare show {declared.silent} of them, in "
            "{declared.time}."
        ),
    ),
    Exercise(
        number="5.3.3",
        task="What does it take to accept inputs of varying width? (Tie parameters.)",
        answer=(
            "One tied weight, of which an input uses as many columns as it is wide ({slice.parameters} parameters), "
            "or an adapter for each width on a tied trunk ({adapters.parameters}); a network for each width would "
            "have {slice.untied}. A training step takes {pad.time} with inputs padded to the greatest width; with "
            "slices {slice.time}, {slice.versus}; with adapters {adapters.time}, {adapters.versus}, and "
            "{adapters.traffic} of gradients to add up instead of {slice.traffic}."
        ),
    ),
    Exercise(
        number="5.4.1",
        task="Write a layer that computes y_k = Σ_ij W_ijk x_i x_j.",
        answer="",
    ),
    Exercise(
        number="5.4.2",
        task="Write a layer that returns the leading half of the Fourier coefficients of its input.",
        answer="",
    ),
    Exercise(
        number="5.5.1",
        task="Why store parameters even where no other device will ever need them?",
        answer="",
    ),
    Exercise(
        number="5.5.2",
        task="Reuse a part of a network, say its first two layers, in a network of another architecture.",
        answer="",
    ),
    Exercise(
        number="5.5.3",
        task="Save architecture and parameters together: what restrictions does that bring?",
        answer="",
    ),
    Exercise(
        number="5.6.1",
        task=(
            "Compute something large and something small on the CPU and on the accelerator: "
            "which is faster, and from which size?"
        ),
        answer="",
    ),
    Exercise(
        number="5.6.2",
        task="Read and write parameters on the accelerator.",
        answer="",
    ),
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
