"""Validation of what a scenario returns: it may be any user's code."""

import inspect
import math
from collections.abc import Callable
from dataclasses import fields
from inspect import Parameter
from numbers import Real
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from harness.journal.plan import Value
from harness.scenario import Facts, Work, Workload


def _encodable(text: str) -> str:
    text.encode()  # raises UnicodeEncodeError, which is a ValueError
    return text


_Word = Annotated[str, Field(max_length=1000), AfterValidator(_encodable)]
_Number = Annotated[int, Field(ge=-(2**63), lt=2**63)]
FOUND: TypeAdapter[dict[str, Value]] = TypeAdapter(
    Annotated[dict[_Word, bool | _Number | float | _Word], Field(max_length=100)],
    config=ConfigDict(allow_inf_nan=False),
)
"""The facts that a check may return: they are written to files that any reader must be able to read."""
LONGEST_UNIT = 40
"""Characters of the name of an item."""


def checked_facts(facts: object) -> dict[str, Value]:
    """The facts of ``check()`` as plain values. Raises ValueError, naming a fact that cannot be written down."""
    try:
        return FOUND.validate_python(facts)
    except ValidationError as error:
        where = error.errors()[0]["loc"][:1]
        which = f"{where[0]!r:.100}" if where else f"all of it, {type(facts).__name__}"
        rule = "finite numbers of 64 bits, truth values or texts of at most 1000 characters, by name, and at most 100"
        raise ValueError(f"what check() tells must be {rule}, but {which} is not") from None


def check(workload: Workload, output: object, steps: int) -> Facts | None:
    """Hand an output to the check, and to one of two parameters how many steps were done since ``reset``, too."""
    return workload.check(output, steps) if _takes_steps(workload.check) else workload.check(output)


def _takes_steps(call: Callable[..., object]) -> bool:
    try:
        parameters = inspect.signature(call).parameters.values()
    except (TypeError, ValueError):  # of some that are written in C there is no signature
        return False
    places = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in places and parameter.default is Parameter.empty for parameter in parameters) > 1


CALLS = ("step", "check", "reset", "close")


def validated(workload: object) -> Workload:
    """What ``prepare()`` returned, with plain values: nothing of it has to be evaluated again.

    Raises TypeError or ValueError, naming what is not as it must be, and whatever a plugin's own attributes raise.
    """
    if not isinstance(workload, Workload):
        raise TypeError(f"prepare() must return a Workload, but returned {type(workload).__name__}")
    values = {field.name: getattr(workload, field.name) for field in fields(Workload)}
    for name in CALLS:
        if not callable(values[name]):
            raise TypeError(f"Workload.{name} must be callable, but is {type(values[name]).__name__}")
    flags = {name: bool(value) for name, value in values.items() if name not in (*CALLS, "work")}
    return Workload(**values | flags | {"work": _work(workload.work)})


def _work(work: Work) -> Work:
    amounts = {name: number(f"Work.{name}", getattr(work, name)) for name in ("flops", "bytes", "items", "wire")}
    unit = work.unit
    if not (isinstance(unit, str) and 0 < len(unit) <= LONGEST_UNIT and unit.isprintable()):
        raise ValueError(f"Work.unit must be a word of at most {LONGEST_UNIT} characters, but is {unit!r:.100}")
    return Work(**amounts, unit=unit)


def number(name: str, value: object) -> float:
    """A plugin's number as a float. Raises TypeError or ValueError where it is none, negative or not finite."""
    if not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, but is {type(value).__name__}")
    amount = float(value)
    if not (math.isfinite(amount) and amount >= 0):
        raise ValueError(f"{name} must be a finite number of at least 0, but is {value}")
    return amount
