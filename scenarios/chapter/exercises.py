"""The chapter's exercises: what each asks, and the sentence with which a run answers it.

Chapter 5 of *Dive into Deep Learning*, PyTorch edition, in our own words. Figures of the run stand in braces,
``{variant.figure}`` (docs/scenarios.md says which there are); what a figure rests on has passed its check.
"""

from harness.scenario import Exercise

_EXERCISES = (
    Exercise(
        number="5.1.1",
        task="What goes wrong when a sequential block keeps its children in a Python list?",
        answer=(
            "A plain list registers nothing: of {sequential.parameters} parameters the block has {list.parameters}, "
            "of {sequential.state_dict_keys} entries its state_dict() has {list.state_dict_keys}, and eval() reaches "
            "{list.children_in_eval} of {sequential.children_in_eval} children. A twin loads that state without an "
            "error, and then maps {list.samples_restored} of {sequential.samples_restored} samples alike. Worse is a "
            "list beside a registered head, since nothing fails there: a training step changes {list.mixed_trained} "
            "of {sequential.tensors_trained} tensors, and data-parallel ranks are {list@most.mixed_ranks} after it. "
            "What is often said against a list is not so: it keeps the order, and its forward pass is {list.versus}."
        ),
    ),
    Exercise(
        number="5.1.2",
        task="Write a block that takes two networks and returns their outputs concatenated: a parallel block.",
        answer=(
            "Give both networks the same input, and concatenate their outputs in the last dimension, where the "
            "features are: dim=1 is right for a matrix alone, and joins time steps of equal width without an error. "
            "One branch after the other, where nothing is parallel, takes {serial.time}; written into slices of the "
            "output it is {slices.versus}, but has no gradient; in one fused product, {fused.versus}; with a stream "
            "for each branch ({streams.streams} here), {streams.versus}. Spread over devices, the busiest of which "
            "makes {spread@most.largest_share} of the outputs, its speed-up is {spread.ideal} at most. A pass of "
            "serial, whose devices share the samples, takes {serial@most.time} there, and one of spread "
            "{spread@most.time}: it is {spread@most.versus}."
        ),
    ),
    Exercise(
        number="5.1.3",
        task="Write a factory that makes several instances of one block, and build a larger network from them.",
        answer=(
            "Build the block anew for every instance: that gives {instances.parameters} parameters. Repeating one "
            "object in a list, as is often done, gives {repeated.parameters} and one set of normalisation statistics; "
            "the printed network and its state_dict, which lists {repeated.state_dict_numbers} numbers, do not show "
            "it. Copies of one have {copies.parameters} parameters, but all {copies.blocks} begin with "
            "{copies.initial_weights} set of weights. For a batch of {instances.batch} a gradient takes "
            "{instances.time} with instances; with one repeated it is {repeated.versus}. What devices add up of it "
            "has {instances.gradient_bytes} and {repeated.gradient_bytes}."
        ),
    ),
    Exercise(
        number="5.2.1",
        task="Access the parameters of every layer of a nested model.",
        answer=(
            "named_parameters() finds {loop.parameters} parameters in {loop.tensors} tensors, each the one that its "
            "path of attributes leads to. The constant weights are not among them, and must be a registered buffer to "
            "be saved and moved: a twin that loads the state then maps {loop.restored} of {loop.batch} samples alike; "
            "with a plain attribute, {loop.restored_without}, though load_state_dict() says that all keys match. The "
            "inner block's loop halves {loop.halvings} times, with {loop.reads} reads by the host, and a pass takes "
            "{loop.time}; to halve by the exponent at once takes {exponent.reads} reads and is {exponent.versus}."
        ),
    ),
    Exercise(
        number="5.2.2",
        task="Look up the initialisers that there are, and what each does.",
        answer=(
            "Of a weight of {xavier_uniform.fan_out} × {xavier_uniform.fan_in}, fan_out × fan_in, xavier_uniform "
            "draws from ±√(6/(fan_in + fan_out)) = ±{xavier_uniform.bound}; xavier_normal has the standard deviation "
            "√(2/(fan_in + fan_out)) = {xavier_normal.std}, which is not a bound; kaiming_uniform, with a ReLU's gain "
            "of √2, draws from ±√2·√(3/fan_in) = ±{kaiming_uniform.bound}; trunc_normal of deviation 0.02, cut off at "
            "±{trunc_normal.bound}, has {trunc_normal.std} left; orthogonal has orthonormal columns. A convolution's "
            "fans count its kernel: 288 and 576 for 64 × 32 × 3 × 3. To fill the matrix takes {normal.time} by "
            "normal; constant is {constant.versus}; xavier_uniform {xavier_uniform.versus}; trunc_normal "
            "{trunc_normal.versus}; orthogonal {orthogonal.versus}."
        ),
    ),
    Exercise(
        number="5.2.3",
        task="Train a network with a shared layer, and observe the parameters and gradients of each layer.",
        answer=(
            "All {tied.uses} uses have one parameter and one gradient: there are {tied.names} names for "
            "{tied.tensors} tensors. Printing named_parameters() does not show it, for it lists each tensor once. In "
            "a step, one weight of the shared layer goes from {tied.weight_before} to {tied.weight_after} by a "
            "gradient of {tied.weight_gradient}, the sum over all uses: the first use has {tied.gradient_first_use} "
            "of it, the last {tied.gradient_last_use}. On the most devices a step reduces {tied.traffic} tied and "
            "{untied.traffic} untied. An untied step takes {untied.time}; a tied one is {tied.versus}."
        ),
    ),
    Exercise(
        number="5.2.4",
        task="Why is it a good idea to share parameters?",
        answer=(
            "It saves parameters, with their gradients and momentum: {tying/tied.state_bytes} instead of "
            "{tying/untied.state_bytes}. It saves no activations ({tying/tied.activation_bytes} and "
            "{tying/untied.activation_bytes}) and no operations; a step is {tying/tied.versus}. It generalises better "
            "only where the task is as symmetric. If one filter holds for all positions of a signal, a fit to "
            "{symmetry/tied.samples} samples has a relative squared error of {symmetry/tied.error_alike} "
            "({symmetry/tied.error_alike_least} to {symmetry/tied.error_alike_most} in {symmetry/tied.draws} draws) "
            "tied and {symmetry/untied.error_alike} ({symmetry/untied.error_alike_least} to "
            "{symmetry/untied.error_alike_most}) untied. If every position has its own, sharing loses: "
            "{symmetry/tied.error_apart} ({symmetry/tied.error_apart_least} to {symmetry/tied.error_apart_most}) tied "
            "and {symmetry/untied.error_apart} ({symmetry/untied.error_apart_least} to "
            "{symmetry/untied.error_apart_most}) untied."
        ),
    ),
    Exercise(
        number="5.3.1",
        task="What happens when only the first layer's input dimension is given: is anything initialised at once?",
        answer=(
            "The first layer is initialised at once and no other: {first.at_once} of {first.parameters} parameters. "
            "The first batch initialises the rest, and a second one changes nothing. A network all of whose layers "
            "are lazy does not show this, for {lazy.at_once} of its parameters are initialised at once. An "
            "initialiser applied before the first batch reaches {first.initialised} of {first.layers} layers, and "
            "says nothing of the others. Seeded alike, all ways end with the same weights. The first output, "
            "construction included, takes {first.time} and {first.memory}; with every dimension given {eager.time} "
            "and {eager.memory}: the first way is {first.versus}."
        ),
    ),
    Exercise(
        number="5.3.2",
        task="What happens when dimensions do not match?",
        answer=(
            "Construction raises nothing; a forward pass does, at the layer that cannot multiply: “{forward.reason}”. "
            "Here that is the last of {forward.layers}: to get there takes {forward.time}, and a lazy layer on the "
            "way stays initialised. Three mismatches raise nothing at all: a transposed batch, whose rows a lazy "
            "layer takes for columns; outputs of shape (8, 1) against targets of shape (8), which a loss broadcasts; "
            "and a lazy layer that loads a wider weight. A dry run on the meta device, whose output is held against "
            "the target's shape, finds {meta.silent} of them in {meta.time}, and changes nothing; along the widths it "
            "overtakes the forward pass {meta.crossover}. Reading the widths that layers declare finds "
            "{declared.silent}, in {declared.time}."
        ),
    ),
    Exercise(
        number="5.3.3",
        task="What does it take to accept inputs of varying width? (Tie parameters.)",
        answer=(
            "Tie the parameters: one weight, of which an input uses as many columns as it is wide ({slice.parameters} "
            "parameters), or an adapter for each width on a tied trunk ({adapters.parameters}); a network for each "
            "width would have {slice.untied}. Cutting all inputs to the narrowest throws data away, and a new layer "
            "for each batch learns nothing. A gradient takes {pad.time} with inputs padded to the greatest width; "
            "with slices it is {slice.versus}; with adapters {adapters.versus}. Of {slice.columns} columns that only "
            "wider inputs use, a step on the narrowest moves {slice.moved_by_sgd} under SGD, but "
            "{slice.moved_by_adam} under Adam, whose moments remember wider ones."
        ),
    ),
    Exercise(
        number="5.4.1",
        task="Write a layer that computes y_k = Σ_ij W_ijk x_i x_j.",
        answer=(
            "Each y_k is a quadratic form: einsum('bi,bj,ijk->bk', x, x, W), with n²k = {einsum.parameters} "
            "parameters. Subscripts such as 'bij' for a matrix raise for every input, and W.data in place of W never "
            "trains. One einsum takes {einsum.time}; an outer product and one GEMM is {outer.versus}; two "
            "contractions are {contract.versus}; nn.Bilinear's way is {bilinear.versus}. At its peak the outer "
            "product needs {outer.memory}, and two contractions {contract.memory}. With the forms spread over the "
            "devices and their values gathered, the outer product is {outer.speedup}, and two contractions "
            "{contract.speedup}."
        ),
    ),
    Exercise(
        number="5.4.2",
        task="Write a layer that returns the leading half of the Fourier coefficients of its input.",
        answer=(
            "Transform along the last dimension alone: fftn over all dimensions mixes the samples of a batch. Of "
            "{real.size} real numbers the first ⌊n/2⌋ + 1 = {real.coefficients} coefficients give the numbers back, "
            "and ⌊n/2⌋ do not; of complex numbers no half does. Cut from a full transform they take {full.time}; a "
            "transform of real data is {real.versus}; one product with half a DFT matrix is {matrix.versus}. The cut "
            "is a view that keeps the whole spectrum, {full.kept_bytes}, where the coefficients themselves need "
            "{real.kept_bytes}. With the samples spread over the devices, the transform of real data is "
            "{real.speedup}."
        ),
    ),
    Exercise(
        number="5.5.1",
        task="Why store parameters even where no other device will ever need them?",
        answer=(
            "To go on where training broke off; but parameters alone are not enough for that. From a checkpoint of "
            "step {resume/resume.saved}, a run of {resume/resume.steps} steps ends with the very bits that it has "
            "without a break, after {resume/resume.time} instead of {resume/restart.time}. Without Adam's moments in "
            "the checkpoint it ends up to {resume/resume.without_adam} away, without the random generator's state "
            "{resume/resume.without_random}. Rank 0 writes {save/rank0.parameter_bytes} in {save/rank0.time} (with "
            "fsync: {save/rank0.durable}). Where each rank writes its rows, torch.save is {save/torch.speedup}, "
            "safetensors {save/safetensors.speedup}, and a distributed checkpoint {save/dcp.speedup}. To read its "
            "rows back, the whole file is {restore/whole.speedup}, slices of it {restore/slices.speedup}, and a "
            "distributed checkpoint {restore/dcp.speedup}."
        ),
    ),
    Exercise(
        number="5.5.2",
        task="Reuse a part of a network, say its first two layers, in a network of another architecture.",
        answer=(
            "Copy the tensors of those layers by name, {full.tensors} here, with strict=False, and compare the keys "
            "that it reports with those that are due: it raises nothing where names do not match. Under names with a "
            "prefix it loads {full.misnamed} tensors. With one more layer in front, each layer gets what belongs to "
            "the next: {full.shifted} tensors get where they belong, and with a map of the names {full.renamed}. One "
            "layer that is copied into the same class of network shows none of this. To load the whole file, "
            "{full.file_bytes}, for a part of {full.part_bytes} takes {full.time}; mapped into memory "
            "({mmap.read_bytes} are read) it is {mmap.versus}; by name from safetensors ({safetensors.read_bytes}), "
            "{safetensors.versus}; from a distributed checkpoint ({dcp.read_bytes}), {dcp.versus}."
        ),
    ),
    Exercise(
        number="5.5.3",
        task="Save architecture and parameters together: what restrictions does that bring?",
        answer=(
            "PyTorch can do it: torch.export.save keeps architecture and parameters. They come back bit for bit, with "
            "{program.own_classes} modules of the network's own class, against {parameters.own_classes} where only "
            "parameters are saved. But the program is what was exported: a batch of another size is "
            "{program.other_batch}, unless dynamic_shapes leave the size open, and a branch on the data is "
            "{program.branch} at export. A whole module that is pickled needs its class, could run any code, and is "
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
            "With the operands there already, a device of type {resident.device} overtakes the CPU (cores: "
            "{host.cores}) {resident.crossover}; with the copies there and back, {copied.crossover}. The copies are "
            "not all that a small product costs there: an accelerator must be told to begin, whatever the size. More "
            "devices overtake one {resident@most.crossover} where each has its part, and {copied@most.crossover} "
            "where one rank has the operands and gets the product."
        ),
        on_cpu=(
            "This run cannot say: its devices are CPU cores, and none is an accelerator. On the CPU (cores: "
            "{host.cores}) a product of size {host.size} takes {host.time}; with the operands and the product copied "
            "it is {copied.versus}. More devices overtake one {resident@most.crossover} where each has its part, and "
            "{copied@most.crossover} where one rank has the operands and gets the product."
        ),
    ),
    Exercise(
        number="5.6.2",
        task="Read and write parameters on the accelerator.",
        answer=(
            "Write with torch.save and read with map_location, or every rank loads onto the device that saved. To "
            "save {save/rank0.parameter_bytes} from the device takes {save/rank0.time}. Copying into parameters that "
            "are there takes {load/copy.time}: an optimizer still holds {load/copy.kept} of {load/copy.parameters} of "
            "them, and a tie of layers is {load/copy.tie}; assigning new ones is {load/assign.versus}, but it holds "
            "{load/assign.kept}, and the tie is {load/assign.tie}. Adam's moments are in a state of their own, from "
            "which {load/copy.moments} of {load/copy.moments_saved} come back. With the file mapped, loading takes "
            "{load/mmap.time}; from safetensors {load/safetensors.time}; by way of pinned memory (pinned here: "
            "{load/pinned.pinned}) {load/pinned.time}. On the most devices all ranks read the file in "
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
            "batch take {batched.time}, and {batched.memory} at the peak: {batched.versus}. A loop over A·Aᵀ that "
            "neither logs its norms nor waits for the device measures neither. Spread over the devices, the first is "
            "{each.speedup}."
        ),
    ),
    Exercise(
        number="5.6.4",
        task=(
            "Compute two matrix products on two devices at once, and compare it with one device "
            "that computes them in sequence."
        ),
        answer=(
            "In sequence the {whole.products} products take {whole.time} and {whole.memory} of memory. With a whole "
            "product on each device the ideal is {whole.ideal}, and this machine's ceiling {whole.ceiling}: it is "
            "{whole.speedup}; with every product split by columns, {columns.speedup}; split along the inner dimension "
            "and reduced, which sends {inner.traffic}, {inner.speedup}. Ranks that took turns would overlap by 0; "
            "these all multiply at once for {whole@most.overlap} of the time in which any does. Operands on two "
            "devices cannot be multiplied, and chunks that all stay on one are not done at once. Of unequal devices "
            "the slowest decides, unless shares are unequal too."
        ),
    ),
)


def exercises(*numbers: str) -> tuple[Exercise, ...]:
    """The exercises with these numbers, in this order."""
    known = {exercise.number: exercise for exercise in _EXERCISES}
    return tuple(known[number] for number in numbers)
