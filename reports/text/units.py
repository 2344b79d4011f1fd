"""Units at the edge: seconds inside, and here the only places where a number becomes words."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from harness.journal.plan import Value

TIMES = "\N{MULTIPLICATION SIGN}"
NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
THIN = "\N{NO-BREAK SPACE}"

LEAST_PERCENT = 1e-3
"""What is less, in per cent, is shown as 0."""

_TIME = ((1.0, "s"), (1e-3, "ms"), (1e-6, "\N{MICRO SIGN}s"), (1e-9, "ns"))
_PREFIX = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_SMALL = ((1e-3, "m"), (1e-6, "\N{MICRO SIGN}"), (1e-9, "n"))
_BINARY = ((2.0**40, "Ti"), (2.0**30, "Gi"), (2.0**20, "Mi"), (2.0**10, "Ki"), (1.0, ""))
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def digits(value: float, significant: int = 3) -> str:
    """Plain decimal notation with so many significant digits, and every digit before the point."""
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f}".replace("-", MINUS)
    decimals = significant - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, max(decimals, 0))
    if rounded and math.floor(math.log10(abs(rounded))) > math.floor(math.log10(abs(value))):
        decimals -= 1
    return f"{rounded:.{max(decimals, 0)}f}".replace("-", MINUS)


def _scale(value: float, scales: tuple[tuple[float, str], ...] = _TIME) -> tuple[float, str]:
    """The greatest scale of which a value is one or more, with its name; else the least."""
    return next((pair for pair in scales if abs(value) * 1.0005 >= pair[0]), scales[-1])


def seconds(value: float | None) -> str:
    """E.g. ``31.2 ms``."""
    if value is None:
        return NONE
    scale, unit = _scale(value)
    return f"{digits(value / scale)}{THIN}{unit}"


def seconds_alike(values: Sequence[float]) -> list[str]:
    """Round times in one unit with equally many decimals, as few as tell them all: ``3.0 ms``, ``3.5 ms``; or 0."""
    scale, unit = _scale(max(map(abs, values), default=0.0))
    scaled = [value / scale for value in values]
    decimals = next((n for n in range(4) if all(abs(number - round(number, n)) < 1e-6 for number in scaled)), 3)
    return [f"{number:.{decimals}f}{THIN}{unit}" if number else "0" for number in scaled]


def timed(value: float | None, low: float | None, high: float | None) -> str:
    """A time and its interval in the same unit, e.g. ``31.2 ms [31.0, 31.5]``; the interval's width sets the digits."""
    if value is None or low is None or high is None:
        return seconds(value)
    scale, unit = _scale(value)
    decimals = len(digits(value / scale).partition(".")[2])
    half = (high - low) / (2 * scale)
    if half > 0:
        decimals = min(max(decimals, math.ceil(-math.log10(half))), decimals + 2)
    shown = [f"{end / scale:.{decimals}f}" for end in (value, low, high)]
    return f"{shown[0]}{THIN}{unit} [{shown[1]}, {shown[2]}]"


def signed(value: float, low: float | None = None, high: float | None = None) -> str:
    """Seconds that may be negative, with their interval in one unit: ``1.2 ms [−0.3, 2.7]``."""
    scale, unit = _scale(max(map(abs, (value, low or 0.0, high or 0.0))))
    ends = (value,) if low is None or high is None else (value, low, high)
    size = max(abs(end) for end in ends) / scale
    decimals = len(digits(size).partition(".")[2])
    shown = [f"{end / scale:.{decimals}f}".replace("-", MINUS) for end in ends]
    return f"{shown[0]}{THIN}{unit}" + (f" [{shown[1]}, {shown[2]}]" if len(shown) > 1 else "")


def times(value: float | None) -> str:
    """A ratio, e.g. ``1.86`` and a multiplication sign."""
    return NONE if value is None else f"{_ratio(value, value)}{TIMES}"


def times_between(value: float | None, low: float | None, high: float | None) -> str:
    """A ratio and its interval, e.g. ``1.86× [1.83, 1.89]``."""
    if value is None or low is None or high is None:
        return times(value)
    return f"{times(value)} [{_ratio(low, value)}, {_ratio(high, value)}]"


def change(ratio: float | None, low: float | None = None, high: float | None = None) -> str:
    """A ratio of two times as a signed change of time, e.g. ``−33 % [−40, −19]``; so everywhere but in speed-ups."""
    if ratio is None:
        return NONE
    decimals = _change_decimals(ratio, low, high)
    if low is None or high is None:
        return f"{_signed_percent(ratio, decimals)}{THIN}%"
    value, *ends = (_signed_percent(end, decimals) for end in (ratio, low, high))
    return f"{value}{THIN}% [{ends[0]}, {ends[1]}]"


def change_span(ratio: float, low: float, high: float) -> str:
    """The ends of a change's interval, e.g. ``−40 to −19 %``."""
    decimals = _change_decimals(ratio, low, high)
    return f"{_signed_percent(low, decimals)} to {_signed_percent(high, decimals)}{THIN}%"


def _change_decimals(ratio: float, low: float | None, high: float | None) -> int:
    """One below 10 %, or where an interval is narrow; more where hardly any time is left."""
    if 0 < ratio < 0.01:
        return 1 - math.floor(math.log10(100 * ratio))
    narrow = low is not None and high is not None and high - low < 0.01 and ratio < 2
    return 1 if abs(ratio - 1) < 0.0995 or narrow else 0


def _signed_percent(ratio: float, decimals: int) -> str:
    shown = f"{100 * (ratio - 1):+,.{decimals}f}"
    return shown.lstrip("+-") if not float(shown.replace(",", "")) else shown.replace("-", MINUS)


def _ratio(value: float, like: float) -> str:
    """With the decimals that ``like`` has; with more where only zeros would be left of it."""
    size = abs(like)
    decimals = 0 if size >= 99.5 else 1 if size >= 9.95 else 2 if size >= 0.0995 else 3 if size >= 0.00995 else 0
    if not decimals and 0 < size < 1:
        decimals = 1 - math.floor(math.log10(size))
    shown = f"{value:.{decimals}f}"
    return digits(value, 1) if value and not float(shown) else shown.replace("-", MINUS)


def span(low: float, high: float, like: float) -> str:
    """The ends of a ratio's interval, e.g. ``1.83–1.89``, with the decimals that the ratio ``like`` has."""
    return f"{_ratio(low, like)}{NONE}{_ratio(high, like)}"


def percent(fraction: float | None) -> str:
    """E.g. ``97 %``; one decimal below 10 %, and more below 0.1 %, where it would read 0."""
    return NONE if fraction is None else f"{_hundredths(fraction, fraction).removesuffix('.0')}{THIN}%"


def percent_beyond(fraction: float, limit: float) -> str:
    """A fraction beyond a limit, with as many digits as tell it from the limit: ``5.04 %`` beyond ``5 %``."""
    if percent(fraction) != percent(limit):
        return percent(fraction)
    shown = (f"{100 * fraction:.{decimals}f}" for decimals in range(1, 5))
    text = next((digits for digits in shown if float(digits) > 100 * limit), f"{100 * fraction:.4f}")
    return f"{text}{THIN}%"


def percent_between(value: float | None, low: float | None, high: float | None) -> str:
    """A fraction and its interval, e.g. ``97 % [96, 98]``."""
    if value is None or low is None or high is None:
        return percent(value)
    ends = [_hundredths(end, value) for end in (value, low, high)]
    if all(end.endswith(".0") for end in ends):
        ends = [end.removesuffix(".0") for end in ends]
    return f"{ends[0]}{THIN}% [{ends[1]}, {ends[2]}]"


def _hundredths(fraction: float, like: float) -> str:
    """With the decimals that ``like`` has."""
    size = abs(100 * like)
    decimals = 0 if size >= 9.95 or size < LEAST_PERCENT else 1
    if LEAST_PERCENT <= size < 0.05:
        decimals = 1 - math.floor(math.log10(size))
    return f"{100 * fraction:.{decimals}f}".replace("-", MINUS)


def deviation(fraction: float | None) -> str:
    """A relative difference with its sign, e.g. ``+3.2 %``."""
    if fraction is None:
        return NONE
    sign = "+" if fraction > 0 else "−" if fraction < 0 else ""
    return f"{sign}{percent(abs(fraction))}"


def rate(value: float | None, unit: str) -> str:
    """E.g. ``78.0 GFLOP/s`` or ``1.23 k items/s``."""
    if value is None:
        return NONE
    scale, prefix = _scale(value, _PREFIX)
    if unit == "FLOP":
        return f"{digits(value / scale)}{THIN}{prefix}FLOP/s"
    return THIN.join(part for part in (digits(value / scale), prefix, f"{_plural(unit)}/s") if part)


def _plural(noun: str) -> str:
    """Of a regular noun: ``passes``, ``entries``, ``launches``; one that ends in a single s is taken for a plural."""
    if noun.endswith(("ss", "x", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return noun if noun.endswith("s") else f"{noun}s"


def quantity(value: float | None, unit: str) -> str:
    """Any unit of the SI, e.g. ``312 W`` and ``4.21 mJ``."""
    if value is None:
        return NONE
    scale, prefix = _scale(value, (*_PREFIX, *_SMALL))
    return f"{digits(value / scale)}{THIN}{prefix}{unit}"


def amount(value: float | None) -> str:
    """Bytes on disk or on a wire, in powers of 1000: ``2.57 kB``."""
    return _bytes(value, _PREFIX)


def memory(value: float | None) -> str:
    """Bytes of memory, in powers of 1024: ``512 MiB``."""
    return _bytes(value, _BINARY)


def _bytes(value: float | None, scales: tuple[tuple[float, str], ...]) -> str:
    if value is None:
        return NONE
    scale, prefix = _scale(value, scales)
    shown = digits(value / scale) if prefix else f"{value:.0f}"
    return f"{shown}{THIN}{prefix}B"


def number(value: float) -> str:
    """Whole numbers exactly, ``8458`` and ``4,001,577``; others with three digits, ``0.118`` and ``3.10 × 10⁻⁷``."""
    if value == int(value) and abs(value) < 1e15:
        return (f"{int(value):,}" if abs(value) >= 10_000 else str(int(value))).replace("-", MINUS)
    if 1e-3 <= abs(value) < 1e6:
        return digits(value)
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa.replace('-', MINUS)}{THIN}{TIMES}{THIN}10{str(int(exponent)).translate(_RAISED)}"


def fact_value(name: str, value: Value) -> str:
    """A fact or an axis in words; names that end in ``_bytes`` or ``_s`` have these units."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if name == "bytes" or name.endswith("_bytes"):
        return amount(value)
    return seconds(value) if name.endswith("_s") else number(value)


def count(n: int, noun: str, plural: str | None = None) -> str:
    """E.g. ``1 device`` and ``2 devices``."""
    return f"{n} {noun if n == 1 else plural or _plural(noun)}"


def listed(words: list[str]) -> str:
    """E.g. ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


NOT_KNOWN = "not known"
"""What stands for a fact that nobody has told."""


def flat(record: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """A nested record as lines of a dotted name and a value."""
    for name, value in record.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            for place, item in enumerate(value):
                yield from flat(item if isinstance(item, dict) else {"": item}, f"{prefix}{name}.{place}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield f"{prefix}{name}", NOT_KNOWN if value is None else text
