"""Compiled code: each case's is compiled as it would be if the case were alone in its process.

Dynamo keeps what it compiles with the code of a function, which all cases of a scenario share. Left alone it compiles
for sizes that may vary as soon as a second case has another size, and after eight cases compiles no more: all later
ones then run eagerly, and only a line in a log says so.
"""

from functools import cache


def make_room() -> None:
    """Let one more case be compiled, for its own sizes and as often as if it were alone. Call it before each case."""
    from torch._dynamo import config, pgo

    pgo.reset_code_state()  # which sizes there have been; what is compiled stays
    for limit, most in _limits().items():
        setattr(config, limit, getattr(config, limit) + most)


@cache
def _limits() -> dict[str, int]:
    """Dynamo's limits on compiling a function: for one set of modules, and in total."""
    from torch._dynamo import config

    return {name: getattr(config, name) for name in ("recompile_limit", "accumulated_recompile_limit")}
