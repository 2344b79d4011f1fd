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
        answer=(
            "named_parameters() finds {loop.parameters} parameters in {loop.tensors} tensors, each the very one that "
            "its path of attributes leads to; constant weights are saved and moved as they are a registered buffer. "
            "The inner block's loop halves {loop.halvings} times, with {loop.reads} reads to the host, in "
            "{loop.time}; to halve by the exponent at once takes {exponent.reads} reads and is {exponent.versus}."
        ),
    ),
    Exercise(
        number="5.2.2",
        task="Look up the initialisers that there are, and what each does.",
        answer=(
            "For this matrix xavier_uniform draws evenly between ±{xavier_uniform.bound}, which has the standard "
            "deviation of xavier_normal, {xavier_normal.std}; kaiming_uniform between ±{kaiming_uniform.bound}. "
            "trunc_normal, cut off at ±{trunc_normal.bound}, has {trunc_normal.std}, and orthogonal {orthogonal.std}. "
            "normal takes {normal.time}; constant is {constant.versus}, xavier_uniform {xavier_uniform.versus}, "
            "trunc_normal {trunc_normal.versus}, orthogonal {orthogonal.versus}."
        ),
    ),
    Exercise(
        number="5.2.3",
        task="Train a network with a shared layer, and observe the parameters and gradients of each layer.",
        answer=(
            "All {tied.uses} uses of the shared layer have the same parameters and one gradient, the sum of those that "
            "untied copies would have: there are {tied.names} names for {tied.tensors} tensors, and the tie survives "
            "training. Over the devices a step reduces {tied.traffic} tied and {untied.traffic} untied. "
            "An untied step takes {untied.time}; a tied one is {tied.versus}."
        ),
    ),
    Exercise(
        number="5.2.4",
        task="Why is it a good idea to share parameters?",
        answer=(
            "Parameters, gradients and momentum take {tying/tied.state_bytes} tied and {tying/untied.state_bytes} "
            "untied. FLOPs stay the same, and so do the activations that are kept, {tying/tied.activation_bytes} and "
            "{tying/untied.activation_bytes}. Sharing states a symmetry. Fitted to few samples, a filter that is alike "
            "everywhere has a relative error of {symmetry/tied.error_alike} tied and {symmetry/untied.error_alike} "
            "untied; filters that differ have {symmetry/tied.error_apart} and {symmetry/untied.error_apart}."
        ),
    ),
    Exercise(
        number="5.3.1",
        task="What happens when only the first layer's input dimension is given: is anything initialised at once?",
        answer="",
    ),
    Exercise(
        number="5.3.2",
        task="What happens when dimensions do not match?",
        answer="",
    ),
    Exercise(
        number="5.3.3",
        task="What does it take to accept inputs of varying width? (Tie parameters.)",
        answer="",
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
