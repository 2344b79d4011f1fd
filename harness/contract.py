"""What a scenario hands over, held against its contract: it may be anybody's code."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from harness.plan import Value
from harness.scenario import Workload


def _encodable(text: str) -> str:
    text.encode()  # raises UnicodeEncodeError, which is a ValueError
    return text


_Word = Annotated[str, Field(max_length=1000), AfterValidator(_encodable)]
_Number = Annotated[int, Field(ge=-(2**63), lt=2**63)]
FOUND: TypeAdapter[dict[str, Value]] = TypeAdapter(
    Annotated[dict[_Word, bool | _Number | float | _Word], Field(max_length=100)],
    config=ConfigDict(allow_inf_nan=False),
)
"""What a check may tell: it is written down, and any reader must be able to take it."""
LONGEST_UNIT = 40
"""Characters of the name of an item."""


def told(found: object) -> dict[str, Value]:
    """What ``check()`` told. Raises ValueError, naming what cannot be written down."""
    try:
        return FOUND.validate_python(found)
    except ValidationError as error:
        where = error.errors()[0]["loc"][:1]
        which = f"{where[0]!r:.100}" if where else f"all of it, {type(found).__name__}"
        rule = "finite numbers of 64 bits, truth values or texts of at most 1000 characters, by name, and at most 100"
        raise ValueError(f"what check() tells must be {rule}, but {which} is not") from None


def validate(workload: object) -> None:
    """Whether ``prepare()`` returned what it must. Raises TypeError or ValueError, naming what is not."""
    if not isinstance(workload, Workload):
        raise TypeError(f"prepare() must return a Workload, but returned {type(workload).__name__}")
    work = workload.work
    for name in ("flops", "bytes", "items"):
        value = getattr(work, name)
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"Work.{name} must be a finite number of at least 0, but is {value}")
    if not (isinstance(work.unit, str) and 0 < len(work.unit) <= LONGEST_UNIT and work.unit.isprintable()):
        raise ValueError(f"Work.unit must be a word of at most {LONGEST_UNIT} characters, but is {work.unit!r:.100}")
