"""The catalog: which scenarios there are, and what each declares about itself."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from harness.errors import UsageError, nearest
from harness.plan import Exercise, Scaling, Value

GROUP = "rankbench.scenarios"


@dataclass(frozen=True)
class Entry:
    """One scenario: its class and where that was found."""

    name: str
    """The class's name in snake_case."""
    reference: str
    """``package.module:Class`` or ``/path/to/file.py:Class``, as a worker can load it."""
    cls: type[Any]

    @property
    def title(self) -> str:
        """What it measures: the first line of its class's docstring, or of its module's."""
        own = self.cls.__doc__ or ""
        generated = own.startswith(f"{self.cls.__name__}(")  # what dataclass writes where there is none
        text = (sys.modules[self.cls.__module__].__doc__ if generated else own) or self.name
        return text.strip().splitlines()[0]

    @property
    def subject(self) -> str:
        """What it belongs to, for a scenario in a package of scenarios: the module's name there; else its own name."""
        path = self.reference.partition(":")[0].split(".")
        return path[1] if path[0] == "scenarios" else self.name

    @property
    def exercises(self) -> tuple[Exercise, ...]:
        """The exercises that it answers."""
        return tuple(getattr(self.cls, "exercises", ()))

    @property
    def numbers(self) -> tuple[str, ...]:
        """Their numbers."""
        return tuple(exercise.number for exercise in self.exercises)

    @property
    def scaling(self) -> Scaling:
        """Its scaling claim."""
        return self.cls.scaling  # type: ignore[no-any-return]

    @cached_property
    def hints(self) -> dict[str, Any]:
        """The type of each field."""
        types = get_type_hints(self.cls, include_extras=True)
        return {field.name: types[field.name] for field in dataclasses.fields(self.cls)}

    @cached_property
    def arm_field(self) -> str | None:
        """The name of the arm, where there is one."""
        return next((field.name for field in dataclasses.fields(self.cls) if field.metadata.get("arm")), None)

    @property
    def baseline(self) -> str | None:
        """The arm that others are compared with."""
        return None if self.arm_field is None else str(self.defaults[self.arm_field])

    @property
    def arms(self) -> tuple[str, ...]:
        """Every value of the arm, the baseline first."""
        if self.arm_field is None or self.baseline is None:
            return ()
        values = [str(value) for value in get_args(self.hints[self.arm_field])]
        return tuple(sorted(values, key=lambda value: value != self.baseline))

    @cached_property
    def defaults(self) -> dict[str, Value]:
        """Each field's default."""
        return {name: field.default for name, field in self.cls.__dataclass_fields__.items() if name in self.hints}

    def sweep(self, field: str, preset: str | None = None) -> tuple[Value, ...]:
        """The values that a preset gives to ``field``."""
        if field == self.arm_field:
            return self.arms
        metadata = self.cls.__dataclass_fields__[field].metadata
        usual: tuple[Value, ...] = metadata.get("sweep", (self.defaults[field],))
        if preset == "full":
            return metadata.get("full") or usual
        return usual[:1] if preset == "smoke" else usual

    def value(self, field: str, text: str) -> Value:
        """``text`` as a value of ``field``. Raises UsageError."""
        name = f"--set {self.name}.{field}"
        if field not in self.hints:
            axes = nearest(field, self.hints)
            raise UsageError(name, f"name an axis of {self.name}", repr(field), axes)
        hint = self.hints[field]
        try:
            made: Value = TypeAdapter(hint).validate_python(text)
        except ValidationError:
            if get_origin(hint) is Literal:
                raise UsageError(
                    name, "be one of its values", repr(text), nearest(text, map(str, get_args(hint)))
                ) from None
            raise UsageError(name, f"be of type {getattr(hint, '__name__', hint)}", repr(text), "correct it") from None
        if hint in (int, float) and not 0 < made < float("inf"):  # type: ignore[operator]
            raise UsageError(name, "be above zero", text, "give a positive number")
        return made


def scenarios() -> dict[str, Entry]:
    """Every scenario of the installed distributions, by name. Raises UsageError for one that does not load."""
    found = (load(point.value) for point in entry_points(group=GROUP))
    return {entry.name: entry for entry in sorted(found, key=lambda entry: entry.numbers or ("~", entry.name))}


def find(name: str) -> list[Entry]:
    """The scenarios that a user means by a name, a subject, an exercise's number, or a reference. Raises UsageError."""
    if ":" in name:
        return [load(name)]
    if name.endswith(".py"):
        raise UsageError("SCENARIO", "name the class that is in a file", repr(name), f"e.g. {name}:Mine")
    for point in entry_points(group=GROUP, name=name):  # no other is imported: that takes seconds, or may fail
        if (entry := load(point.value)).name == name:
            return [entry]
    known = scenarios()
    answering = [entry for entry in known.values() if name in (entry.name, entry.subject, *entry.numbers)]
    if not answering:
        words = [word for entry in known.values() for word in (entry.subject, *entry.numbers)]
        raise UsageError("SCENARIO", "be a known scenario", repr(name), nearest(name, [*known, *words]))
    return answering


def chosen(names: Iterable[str]) -> list[Entry]:
    """The scenarios that several names mean, each once. Raises UsageError."""
    return list({entry.reference: entry for name in names for entry in find(name)}.values())


def load(reference: str) -> Entry:
    """The scenario at ``package.module:Class`` or ``path/to/file.py:Class``. Raises UsageError."""
    where, _, name = reference.rpartition(":")
    path = Path(where)
    try:
        module = _from_file(path) if path.suffix == ".py" else importlib.import_module(where)
        cls = getattr(module, name)
    except Exception as error:  # a plugin may raise anything while it loads
        why = f"{reference} ({type(error).__name__}: {error})"
        raise UsageError("SCENARIO", "import without an error", why, "correct the file or the name") from error
    _validate(cls, reference)
    where = str(path.resolve()) if path.suffix == ".py" else where
    return Entry(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower(), f"{where}:{name}", cls)


def _from_file(path: Path) -> ModuleType:
    """Import a file under a name of its own, so that two plugins called alike do not meet."""
    name = f"rankbench_plugin_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _validate(cls: Any, reference: str) -> None:
    def refuse(rule: str, value: object) -> None:
        raise UsageError(f"scenario {reference}", rule, value, "see docs/scenarios.md")

    if not (dataclasses.is_dataclass(cls) and isinstance(cls, type)):
        refuse("be a dataclass", type(cls).__name__ if not isinstance(cls, type) else "a plain class")
    if getattr(cls, "scaling", None) not in get_args(Scaling):
        refuse('declare scaling: ClassVar = "strong" | "weak" | "none"', repr(getattr(cls, "scaling", None)))
    if not callable(getattr(cls, "prepare", None)):
        refuse("have prepare(gang)", "without one")
    for field in dataclasses.fields(cls):
        if field.default is dataclasses.MISSING:
            refuse("give every axis a default", f"without one for {field.name!r}")
    arms = [field.name for field in dataclasses.fields(cls) if field.metadata.get("arm")]
    if len(arms) > 1:
        refuse("have at most one arm", arms)
