"""What ``rankbench list`` shows: which scenarios there are, briefly; and one of them, in full."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.plugins.fields import written
from harness.plugins.registry import Entry


def facts(entry: Entry) -> dict[str, Any]:
    """What a scenario declares, as JSON has it."""
    return {
        "name": entry.name,
        "subject": entry.subject,
        "title": entry.title,
        "exercises": list(entry.numbers),
        "variant": entry.variant_field,
        "variants": list(entry.variants),
        "axes": {name: value for name, value in entry.defaults.items() if name != entry.variant_field},
        "sweeps": {name: list(entry.sweep(name)) for name in entry.defaults if name != entry.variant_field},
        "scaling": entry.scaling,
        "reference": entry.reference,
    }


def brief(entries: Iterable[Entry], console: Console) -> None:
    """Two lines a scenario: what it is called, which exercises it answers, and what it compares."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("scenario", no_wrap=True)
    table.add_column("exercise", no_wrap=True)
    table.add_column("compares")
    for entry in entries:
        compared = Text(entry.title)
        if entry.variant_field:
            compared.append(f"\n{entry.variant_field} = {' | '.join(entry.variants)}", "cyan")
        table.add_row(Text(entry.name, "bold"), "\n".join(entry.numbers) or "-", compared)
    console.print(table)
    console.print(
        "\nrankbench list NAME shows axes and tasks. Measure by name, subject or exercise: rankbench run NAME",
        highlight=False,
    )


def full(entries: Iterable[Entry], console: Console) -> None:
    """Everything that a user may set, and the exercises' tasks."""
    for entry in entries:
        console.print(Text(entry.name, "bold"))
        lines = [Text(entry.title)]
        if entry.subject != entry.name:
            lines.append(Text(f"subject: {entry.subject}", "dim"))
        lines.append(Text(f"scaling: {entry.scaling}", "dim"))
        if entry.variant_field:
            lines.append(Text(f"compares {entry.variant_field} = {' | '.join(entry.variants)}", "cyan"))
        axes = [name for name in entry.defaults if name != entry.variant_field]
        lines += [Text(f"--set {entry.name}.{name}={written(entry.sweep(name))}") for name in axes]
        lines += [Text(f"{exercise.number}  {exercise.task}") for exercise in entry.exercises]
        for line in lines:
            console.print(Padding(line, (0, 0, 0, 2)))
