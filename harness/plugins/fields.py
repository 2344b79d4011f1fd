"""Fields of a scenario: the types that they may have, and their values as text: on a command line, and read again."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from harness.common.errors import UsageError
from harness.common.text import nearest
from harness.journal.plan import Value

TYPES = (bool, int, float, str)
_TOKEN = re.compile(r"\\([\\,])|(,)|(.)", re.DOTALL)


def choices(hint: Any) -> tuple[Value, ...]:
    """The values that a ``Literal`` has; none for any other type."""
    bare = _bare(hint)
    return get_args(bare) if get_origin(bare) is Literal else ()


def allowed(hint: Any) -> bool:
    """Whether a field may have this type: one of ``TYPES``, or a ``Literal`` of their values."""
    values = choices(hint)
    return all(type(value) in TYPES for value in values) if values else _bare(hint) in TYPES


def read(name: str, hint: Any, text: str) -> Value:
    """The value of a type that allows ``text``; ``name`` is what the user calls it. Raises UsageError."""
    if values := choices(hint):
        by_text = {str(value): value for value in values}
        if text not in by_text:
            raise UsageError(name, "be one of its values", repr(text), nearest(text, by_text))
        return by_text[text]
    try:
        value: Value = TypeAdapter(hint).validate_python(text)
    except ValidationError as error:
        bare = _bare(hint)
        rule = f"be of type {bare.__name__}" if bare is hint else f"fit its type ({error.errors()[0]['msg']})"
        raise UsageError(name, rule, repr(text), "correct it") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(name, "be finite", text, "give another number")
    if isinstance(value, str) and not value.isprintable():
        raise UsageError(name, "have printable characters only", ascii(text), "leave the others out")
    return value


def written(values: Iterable[Value]) -> str:
    """Values as one text, between commas; a backslash stands before what is a comma or a backslash of a value."""
    return ",".join(re.sub(r"[\\,]", r"\\\g<0>", str(value)) for value in values)


def split(text: str) -> Sequence[str]:
    """The values' texts in what ``written`` has made; any other backslash stands for itself."""
    parts = [""]
    for escaped, comma, other in _TOKEN.findall(text):
        if comma:
            parts.append("")
        else:
            parts[-1] += escaped or other
    return parts


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint
