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
        answer=(
            "A list registers nothing. Through it, a training step changes {list.tensors_trained} of the children's "
            "{sequential.tensors_trained} tensors, state_dict() has {list.state_dict_keys} entries instead of "
            "{sequential.state_dict_keys}, eval() reaches {list.children_in_eval} of {sequential.children_in_eval} "
            "children, and a twin that loads the state, without an error, gives {list.samples_restored} of "
            "{sequential.samples_restored} samples the same output. After a data-parallel step the ranks are "
            "{list@most.ranks} with the list and {sequential@most.ranks} with nn.Sequential. "
            "In the forward pass the list is {list.versus}."
        ),
    ),
    Exercise(
        number="5.1.2",
        task="Write a block that takes two networks and returns their outputs concatenated: a parallel block.",
        answer=(
            "The outputs are joined in the last dimension, where the features are. With the branches one after the "
            "other a pass takes {serial.time}; written into slices it is {slices.versus}; in one fused product, "
            "{fused.versus}; with a stream for each branch where a device has streams ({streams.streams} here), "
            "{streams.versus}. With the branches spread over the most devices, the busiest of which makes "
            "{spread@most.largest_share} of the outputs, a pass takes {spread@most.time}: {spread@most.versus}, "
            "whose devices share the samples there."
        ),
    ),
    Exercise(
        number="5.1.3",
        task="Write a factory that makes several instances of one block, and build a larger network from them.",
        answer=(
            "A factory that builds every instance gives {instances.parameters} parameters; repeating one instance "
            "gives {repeated.parameters}, although its state_dict lists {repeated.state_dict_numbers}. Copies of one "
            "have {copies.parameters}, but of {copies.blocks} blocks only {copies.initial_weights} with initial "
            "weights of its own. For a batch of {instances.batch} a gradient takes {instances.time} with instances "
            "and {repeated.time} with one repeated: {repeated.versus}. What devices add up of it has "
            "{instances.gradient_bytes} and {repeated.gradient_bytes}."
        ),
    ),
    Exercise(
        number="5.2.1",
        task="Access the parameters of every layer of a nested model.",
        answer=(
            "named_parameters() finds {loop.parameters} parameters in {loop.tensors} tensors, each the very one that "
            "its path of attributes leads to; the constant weights, a registered buffer, are in the state_dict "
            "beside them. The inner block's loop halves {loop.halvings} times, with {loop.reads} reads by the host, "
            "and a pass takes {loop.time}; to halve by the exponent at once takes {exponent.reads} reads and is "
            "{exponent.versus}."
        ),
    ),
    Exercise(
        number="5.2.2",
        task="Look up the initialisers that there are, and what each does.",
        answer=(
            "Samples of this matrix agree with these laws: xavier_uniform draws evenly between "
            "±{xavier_uniform.bound}, with a standard deviation of {xavier_uniform.std}, and xavier_normal has "
            "{xavier_normal.std}; kaiming_uniform draws evenly between ±{kaiming_uniform.bound}; trunc_normal, cut "
            "off at ±{trunc_normal.bound}, has {trunc_normal.std}. The columns of orthogonal are orthonormal, with "
            "{orthogonal.std}. To fill the matrix takes {normal.time} by normal; constant is {constant.versus}, "
            "xavier_uniform {xavier_uniform.versus}, trunc_normal {trunc_normal.versus}, orthogonal "
            "{orthogonal.versus}."
        ),
    ),
    Exercise(
        number="5.2.3",
        task="Train a network with a shared layer, and observe the parameters and gradients of each layer.",
        answer=(
            "All {tied.uses} uses of the shared layer still have the same parameters after training: there are "
            "{tied.names} names for {tied.tensors} tensors. They have one gradient, the sum of those that untied "
            "copies would have, over the samples of all devices. On the most devices a step reduces {tied.traffic} "
            "tied and {untied.traffic} untied. An untied step takes {untied.time}; a tied one is {tied.versus}."
        ),
    ),
    Exercise(
        number="5.2.4",
        task="Why is it a good idea to share parameters?",
        answer=(
            "Parameters, gradients and momentum take {tying/tied.state_bytes} tied and {tying/untied.state_bytes} "
            "untied; the activations that are kept for the backward pass {tying/tied.activation_bytes} and "
            "{tying/untied.activation_bytes}; a step is {tying/tied.versus}. Where one filter holds for all "
            "positions of a signal, a fit to {symmetry/tied.samples} samples has a relative squared error of "
            "{symmetry/tied.error_alike} tied and {symmetry/untied.error_alike} untied; where every position has its "
            "own, {symmetry/tied.error_apart} and {symmetry/untied.error_apart}."
        ),
    ),
    Exercise(
        number="5.3.1",
        task="What happens when only the first layer's input dimension is given: is anything initialised at once?",
        answer=(
            "The first layer is, and no other: {first.at_once} of {first.parameters} parameters are initialised "
            "before the first batch, which initialises the others; where no layer is told its inputs, "
            "{lazy.at_once}. Seeded alike, all ways end with the same weights here, to one part in a million. The "
            "first output, construction included, takes {first.time} ({first.versus}) and {first.memory}; with every "
            "dimension given {eager.time} and {eager.memory}."
        ),
    ),
    Exercise(
        number="5.3.2",
        task="What happens when dimensions do not match?",
        answer=(
            "Construction raises nothing; a forward pass does, at the layer that cannot multiply: "
            "“{forward.reason}”. Here that is the last of {forward.layers}: to get there takes {forward.time}, and a "
            "lazy layer on the way stays initialised. A dry run on the meta device takes {meta.time} and changes "
            "nothing; along the widths it overtakes the forward pass {meta.crossover}. Of three mismatches that "
            "raise nothing, these two show {forward.silent} and {meta.silent} once their output is held against the "
            "target's shape; the widths that layers declare show {declared.silent}, in {declared.time}."
        ),
    ),
    Exercise(
        number="5.3.3",
        task="What does it take to accept inputs of varying width? (Tie parameters.)",
        answer=(
            "One tied weight, of which an input uses as many columns as it is wide ({slice.parameters} parameters), "
            "or an adapter for each width on a tied trunk ({adapters.parameters}); a network for each width would "
            "have {slice.untied}. A gradient takes {pad.time} with inputs padded to the greatest width; with slices "
            "{slice.time}, {slice.versus}; with adapters {adapters.time}, {adapters.versus}. On the most devices "
            "{adapters.traffic} are added up with adapters, and {slice.traffic} with slices."
        ),
    ),
    Exercise(
        number="5.4.1",
        task="Write a layer that computes y_k = Σ_ij W_ijk x_i x_j.",
        answer=(
            "Each y_k is a quadratic form, and the layer has n²k = {einsum.parameters} parameters. One einsum takes "
            "{einsum.time}; an outer product and one GEMM {outer.time}, {outer.versus}; two contractions "
            "{contract.time}, {contract.versus}; nn.Bilinear's way {bilinear.time}, {bilinear.versus}. At its peak "
            "the outer product needs {outer.memory} more than there was, and two contractions {contract.memory}. "
            "With the forms spread over the devices and their values gathered, the outer product is {outer.speedup}, "
            "and two contractions {contract.speedup}."
        ),
    ),
    Exercise(
        number="5.4.2",
        task="Write a layer that returns the leading half of the Fourier coefficients of its input.",
        answer=(
            "Of {real.size} real numbers the first ⌊n/2⌋ + 1 = {real.coefficients} coefficients give the numbers "
            "back. Cut from a full transform they take {full.time}; a transform of real data {real.time}, "
            "{real.versus}; one product with half a DFT matrix {matrix.time}, {matrix.versus}. The cut is a view "
            "that keeps the whole spectrum, {full.kept_bytes}, where the coefficients themselves need "
            "{real.kept_bytes}. With the samples spread over the devices, the transform of real data is "
            "{real.speedup}."
        ),
    ),
    Exercise(
        number="5.5.1",
        task="Why store parameters even where no other device will ever need them?",
        answer=(
            "To go on where training broke off. From a checkpoint of step {resume/resume.saved}, read from its file, "
            "a run of {resume/resume.steps} steps ends with the very bits that it has without a break, after "
            "{resume/resume.time} instead of {resume/restart.time}. It takes more than parameters: without Adam's "
            "moments it ends up to {resume/resume.without_adam} away, without the random generator's state "
            "{resume/resume.without_random}. Rank 0 writes {save/rank0.parameter_bytes} in {save/rank0.time} (with "
            "fsync: {save/rank0.durable}); where each rank writes its rows it is {save/torch.speedup} with "
            "torch.save, {save/safetensors.speedup} with safetensors, and {save/dcp.speedup} as a distributed "
            "checkpoint. Each rank gets its rows back {restore/whole.speedup} where all read the whole file, "
            "{restore/slices.speedup} by slices of it, and {restore/dcp.speedup} from a distributed checkpoint."
        ),
    ),
    Exercise(
        number="5.5.2",
        task="Reuse a part of a network, say its first two layers, in a network of another architecture.",
        answer=(
            "Copy the tensors of those layers by name, {full.tensors} here, with strict=False, and hold the keys "
            "that it reports against those that are due: under names that do not match it loads {full.misnamed} "
            "tensors and raises nothing. The layers are {full.part_bytes} of the {full.file_bytes} that were saved. "
            "Loading the whole file for them takes {full.time}, the copy included; mapped into memory, {mmap.time} "
            "({mmap.versus}); by name from safetensors, {safetensors.time} ({safetensors.versus}); from a "
            "distributed checkpoint, {dcp.time} ({dcp.versus})."
        ),
    ),
    Exercise(
        number="5.5.3",
        task="Save architecture and parameters together: what restrictions does that bring?",
        answer=(
            "torch.export.save keeps both: the parameters come back bit for bit, and of the modules that come back "
            "{program.own_classes} are of the network's own class, against {parameters.own_classes} where only "
            "parameters are saved. But a batch of another size than the exported one is {program.other_batch}, "
            "and a branch on the data is {program.branch} at export. A whole module that is pickled is "
            "{program.pickle} under weights_only=True. From file to first output takes {program.time}; parameters "
            "whose architecture is code take {parameters.time}: the program is {program.versus}."
        ),
    ),
    Exercise(
        number="5.6.1",
        task=(
            "Compute something large and something small on the CPU and on the accelerator: "
            "which is faster, and from which size?"
        ),
        answer=(
            "The device here is of type {resident.device}. With the operands there already, it overtakes the CPU "
            "{resident.crossover}; with the copies there and back, {copied.crossover}. More devices overtake one "
            "{resident@most.crossover} where each has its part, and {copied@most.crossover} where one rank has the "
            "operands and gets the product."
        ),
    ),
    Exercise(
        number="5.6.2",
        task="Read and write parameters on the accelerator.",
        answer=(
            "To save {save/rank0.parameter_bytes} from the device takes {save/rank0.time}. Loaded with map_location, "
            "parameters and buffers are on each rank's own device, with the bits that were saved. Copying into "
            "parameters that are there takes {load/copy.time}, and an optimizer still holds {load/copy.kept} of "
            "{load/copy.parameters} of them; assigning new ones takes {load/assign.time} ({load/assign.versus}), and "
            "it holds {load/assign.kept}. With the file mapped it takes {load/mmap.time}, from safetensors "
            "{load/safetensors.time}, through pinned memory where the device is another than the CPU "
            "({load/pinned.pinned} here) {load/pinned.time}. On the most devices all ranks read the file in "
            "{load/copy@most.time}; if one reads and broadcasts, in {load/broadcast@most.time}."
        ),
    ),
    Exercise(
        number="5.6.3",
        task=(
            "Multiply 1000 pairs of 100 × 100 matrices and log the Frobenius norm of each product: "
            "one result at a time, or kept on the device and transferred once at the end."
        ),
        answer=(
            "Logging each norm as it is computed takes {each.time} and {each.reads} reads by the host; keeping the "
            "log on the device takes {deferred.time} and {deferred.reads}: {deferred.versus}. All products in one "
            "batch take {batched.time}, and {batched.memory} at the peak: {batched.versus}. Spread over the devices, "
            "the first is {each.speedup}."
        ),
    ),
    Exercise(
        number="5.6.4",
        task=(
            "Compute two matrix products on two devices at once, and compare it with one device "
            "that computes them in sequence."
        ),
        answer=(
            "In sequence the {whole.products} products take {whole.time}. With a whole product on each device it is "
            "{whole.speedup}; with every product split by columns, {columns.speedup}; split along the inner "
            "dimension and reduced, which sends {inner.traffic}, {inner.speedup}."
        ),
    ),
)


def exercises(*numbers: str) -> tuple[Exercise, ...]:
    """The exercises with these numbers, in this order."""
    known = {exercise.number: exercise for exercise in _EXERCISES}
    return tuple(known[number] for number in numbers)
