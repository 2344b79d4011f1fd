"""The registry: which scenarios there are, and what each declares about itself."""

import dataclasses
import importlib
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

from harness.common.errors import UsageError
from harness.common.text import first_line, nearest
from harness.journal.plan import Exercise, Scaling, Value
from harness.plugins import fields, files

GROUP = "rankbench.scenarios"
REMEDY = "see docs/scenarios.md"
HIDDEN = {"planted": "scenarios.planted.planted:Planted"}
"""Scenarios that run only if they are named: no list and no preset has them, since they measure no user's code."""


@dataclass(frozen=True)
class Entry:
    """One scenario: its class, and the entry point or file that has it."""

    name: str
    """The class's name in snake_case."""
    reference: str
    """``package.module:Class`` or ``/path/to/file.py:Class``, as a worker can load it."""
    cls: type[Any]

    @property
    def title(self) -> str:
        """The first line of the docstring of its class, or of its module."""
        docstring = self.cls.__doc__ or ""
        generated = docstring.startswith(f"{self.cls.__name__}(")  # what dataclass writes where there is none
        text = (sys.modules[self.cls.__module__].__doc__ if generated else docstring) or self.name
        return text.strip().splitlines()[0]

    @property
    def subject(self) -> str:
        """Its topic: for ``scenarios.chapter.sharing.tying`` "sharing"; for a user's scenario its name."""
        path = self.reference.partition(":")[0].split(".")
        return path[2] if path[0] == "scenarios" else self.name

    @property
    def exercises(self) -> tuple[Exercise, ...]:
        """The exercises that it answers."""
        return tuple(getattr(self.cls, "exercises", ()))

    @property
    def numbers(self) -> tuple[str, ...]:
        """Numbers of the exercises."""
        return tuple(exercise.number for exercise in self.exercises)

    @property
    def scaling(self) -> Scaling:
        """The scaling claim."""
        return self.cls.scaling  # type: ignore[no-any-return]

    @property
    def ranks(self) -> tuple[int, int | None]:
        """The least and the most ranks that make sense; a field of that name is an axis and says nothing of them."""
        is_field = any(field.name == "ranks" for field in dataclasses.fields(self.cls))
        return (1, None) if is_field else getattr(self.cls, "ranks", (1, None))

    @cached_property
    def hints(self) -> dict[str, Any]:
        """The type of each field."""
        types = get_type_hints(self.cls, include_extras=True)
        return {field.name: types[field.name] for field in dataclasses.fields(self.cls)}

    @cached_property
    def variant_field(self) -> str | None:
        """The name of the variant, where there is one."""
        return next((field.name for field in dataclasses.fields(self.cls) if field.metadata.get("variant")), None)

    @property
    def baseline(self) -> str | None:
        """The variant that others are compared with."""
        return None if self.variant_field is None else str(self.defaults[self.variant_field])

    @property
    def variants(self) -> tuple[str, ...]:
        """Every value of the variant, the baseline first."""
        if self.variant_field is None:
            return ()
        return tuple(map(str, self.sweep(self.variant_field)))

    @cached_property
    def defaults(self) -> dict[str, Value]:
        """Each field's default."""
        return {name: self._declared(name, self.cls.__dataclass_fields__[name].default) for name in self.hints}

    def sweep(self, field: str, preset: str | None = None) -> tuple[Value, ...]:
        """The values that a preset gives to ``field``; of the variant all that there are, the baseline first."""
        if field == self.variant_field:
            return tuple(sorted(fields.choices(self.hints[field]), key=lambda value: value != self.defaults[field]))
        metadata = self.cls.__dataclass_fields__[field].metadata
        usual = tuple(self._declared(field, value) for value in metadata.get("sweep", ())) or (self.defaults[field],)
        if preset == "full":
            return tuple(self._declared(field, value) for value in metadata.get("full", ())) or usual
        return usual[:1] if preset == "smoke" else usual

    def value(self, field: str, text: str) -> Value:
        """``text`` as a value of ``field``. Raises UsageError."""
        name = f"--set {self.name}.{field}"
        if field not in self.hints:
            axes = nearest(field, self.hints)
            raise UsageError(name, f"name an axis of {self.name}", repr(field), axes)
        return fields.read(name, self.hints[field], text)

    def _declared(self, field: str, value: object) -> Value:
        """A value that the class declares, as its text on the command line is read. Raises UsageError."""
        read = fields.read(f"scenario {self.reference}: a value of {field!r}", self.hints[field], str(value))
        if read != value:
            rule = f"be of its type, {getattr(self.hints[field], '__name__', self.hints[field])}"
            raise UsageError(f"scenario {self.reference}: a value of {field!r}", rule, repr(value), REMEDY)
        return read


def scenarios() -> dict[str, Entry]:
    """Every scenario of the installed distributions that can be loaded, by name. Raises UsageError for two of one name.

    What is wrong with those that cannot is told by ``installed``.
    """
    points = tuple(entry_points(group=GROUP))
    for point in points:
        _only(_own_name(point), points)
    return {entry.name: entry for entry in _usable(points)}


def installed() -> tuple[list[Entry], list[str]]:
    """Every scenario of the installed distributions that can be loaded; and a line for each that cannot."""
    points = tuple(entry_points(group=GROUP))
    faults = []
    for name in dict.fromkeys(_own_name(point) for point in points):
        try:
            load(_only(name, points).value)
        except UsageError as error:
            faults.append(str(error))
    return _usable(points), faults


def find(name: str) -> list[Entry]:
    """The scenarios that a user means by a name, a subject, an exercise's number, or a reference. Raises UsageError."""
    if ":" in name:
        return [load(name)]
    if name in HIDDEN:
        return [load(HIDDEN[name])]
    if name.endswith(".py"):
        _refuse_file(name)
    points = tuple(entry_points(group=GROUP))
    if any(_called(name, point) for point in points):  # no other is imported: that takes seconds, or may fail
        return [load(_only(name, points).value)]
    known = _usable(points)
    answering = [entry for entry in known if name in (entry.subject, *entry.numbers)]
    if not answering:
        words = [word for entry in known for word in (entry.name, entry.subject, *entry.numbers)]
        raise UsageError("SCENARIO", "be a known scenario", repr(name), nearest(name, words))
    return answering


def _refuse_file(name: str) -> None:
    """Raise UsageError for a file without its class, or for a command line."""
    if len(name.split()) > 1 and not Path(name).exists():
        remedy = "write a scenario around its step: docs/scenarios.md"
        raise UsageError("SCENARIO", "be a scenario, and no command line", repr(name), remedy)
    raise UsageError("SCENARIO", "name the class that is in a file", repr(name), f"e.g. {name}:Mine")


def _only(name: str, points: Iterable[EntryPoint]) -> EntryPoint:
    """The entry point that a name means. Raises UsageError where distributions have another scenario each."""
    by_reference = {point.value: point for point in points if _called(name, point)}
    if len(by_reference) > 1:
        owners = (f"{point.dist.name if point.dist else '?'} ({point.value})" for point in by_reference.values())
        remedy = "uninstall one, or name it by its reference, e.g. package.module:Class"
        raise UsageError("SCENARIO", "be the name of one scenario", f"{name!r} of {' and '.join(owners)}", remedy)
    return next(iter(by_reference.values()))


def _called(name: str, point: EntryPoint) -> bool:
    """Whether an entry point has a name, or its class has."""
    return name in (point.name, _own_name(point))


def _own_name(point: EntryPoint) -> str:
    """The name of an entry point's class; nothing is imported for it."""
    return _name(point.value.rpartition(":")[2])


def _usable(points: Iterable[EntryPoint]) -> list[Entry]:
    """The scenarios that can be loaded, in the order of their exercises."""
    return sorted(_loaded(points), key=lambda entry: entry.numbers or ("~", entry.name))


def _loaded(points: Iterable[EntryPoint]) -> Iterator[Entry]:
    for reference in dict.fromkeys(point.value for point in points):
        try:
            yield load(reference)
        except UsageError:
            continue


def chosen(names: Iterable[str]) -> list[Entry]:
    """The scenarios that several names mean, each once. Raises UsageError."""
    return list({entry.reference: entry for name in names for entry in find(name)}.values())


def load(reference: str) -> Entry:
    """The scenario at ``package.module:Class`` or ``path/to/file.py:Class``. Raises UsageError."""
    where, _, name = reference.rpartition(":")
    path = Path(where)
    try:
        reference.encode()  # it is written down
        module = files.import_file(path) if path.suffix == ".py" else _module(where)
        cls = getattr(module, name)
    except (Exception, SystemExit) as error:  # a plugin may raise anything while it loads
        why = f"{reference} ({type(error).__name__}: {first_line(error)})"
        raise UsageError("SCENARIO", "import without an error", why, "correct the file or the name") from error
    where = str(path.absolute()) if path.suffix == ".py" else where
    entry = Entry(_name(name), f"{where}:{name}", cls)
    _validate(entry)
    return entry


def of_file(path: Path) -> list[Entry]:
    """Every scenario that a file defines, in its order. Raises UsageError where it has none, or does not load."""
    try:
        module = files.import_file(path)
    except (Exception, SystemExit) as error:
        why = f"{path} ({type(error).__name__}: {first_line(error)})"
        raise UsageError("SCENARIO", "import without an error", why, "correct the file or the name") from error
    names = [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__ and callable(getattr(value, "prepare", None))
    ]
    if not names:
        raise UsageError("SCENARIO", "be a file with a class that has prepare(gang)", str(path), REMEDY)
    return [load(f"{path}:{name}") for name in names]


def _module(name: str) -> ModuleType:
    """Import a module, from the current folder where there is no other."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
    files.make_importable(Path.cwd())
    return importlib.import_module(name)


def _name(cls: str) -> str:
    """A class's name in snake_case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls).lower()


def _validate(entry: Entry) -> None:
    """Raise UsageError for a class that is no scenario."""
    cls = entry.cls

    def refuse(rule: str, value: object) -> None:
        raise UsageError(f"scenario {entry.reference}", rule, value, REMEDY)

    if not (dataclasses.is_dataclass(cls) and isinstance(cls, type)):
        refuse("be a dataclass", type(cls).__name__ if not isinstance(cls, type) else "a plain class")
    if getattr(cls, "scaling", None) not in get_args(Scaling):
        refuse('declare scaling: ClassVar = "strong" | "weak" | "none"', repr(getattr(cls, "scaling", None)))
    if not _is_range(entry.ranks):
        refuse("declare ranks: ClassVar = (least, most), whole numbers from 1 on, most also None", repr(entry.ranks))
    if not callable(getattr(cls, "prepare", None)):
        refuse("have prepare(gang)", "without one")
    variants = [field.name for field in dataclasses.fields(cls) if field.metadata.get("variant")]
    if len(variants) > 1:
        refuse("have at most one variant", variants)
    try:
        hints = entry.hints
    except Exception as error:
        refuse("have types that can be looked up", f"{type(error).__name__}: {first_line(error)}")
        raise
    for field in dataclasses.fields(cls):
        _validate_field(entry, field, hints[field.name])


def _is_range(ranks: object) -> bool:
    match ranks:
        case (int(least), None):
            return least >= 1
        case (int(least), int(most)):
            return 1 <= least <= most
    return False


def _validate_field(entry: Entry, field: dataclasses.Field[Any], hint: Any) -> None:
    """Raise UsageError for a field that no plan could hold or no command line could say."""

    def refuse(rule: str, value: str) -> None:
        raise UsageError(f"scenario {entry.reference}", rule, f"{value} for {field.name!r}", REMEDY)

    if field.default is dataclasses.MISSING:
        refuse("give every axis a default", "without one")
    if not fields.allowed(hint):
        refuse("declare every axis as bool, int, float, str or a Literal of such", str(getattr(hint, "__name__", hint)))
    if field.name == entry.variant_field and not fields.choices(hint):
        refuse("declare its variant as a Literal", str(getattr(hint, "__name__", hint)))
    for preset in (None, "full"):
        entry.sweep(field.name, preset)  # as it would be swept
