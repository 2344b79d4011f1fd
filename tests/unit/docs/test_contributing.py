"""CONTRIBUTING: the files that it names exist, and the names after a file stand in that file."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
ROWS = re.findall(r"^\| (?!you want)([^|-][^|]*) \| (.*) \|$", TEXT, re.MULTILINE)
ERRANDS = (
    "scenario",
    "launcher",
    "device",
    "warning",
    "enough launches",
    "column",
    "plot",
    "export",
    "statistic",
    "sentence",
)


def references(row: str) -> dict[str, list[str]]:
    """Each file of a row, with the names that follow it."""
    names: dict[str, list[str]] = {}
    for word in re.findall(r"`([^`]+)`", row):
        if "/" in word or "." in word:
            names[word] = []
        elif names:
            names[list(names)[-1]].append(word)
    return names


def missing(row: str) -> list[str]:
    """The files that do not exist, and the names that do not stand in their file."""
    faults = []
    for file, names in references(row).items():
        path = ROOT / file
        if not path.exists():
            faults.append(file)
            continue
        faults += [f"{file}: {name}" for name in names if not re.search(rf"\b{name}\b", path.read_text())]
    return faults


@pytest.mark.parametrize("errand", ERRANDS)
def test_each_errand_has_a_row_that_names_a_file(errand: str) -> None:
    (files, *_) = [references(row) for wanted, row in ROWS if errand in wanted]
    assert files


@pytest.mark.parametrize(("errand", "row"), ROWS)
def test_files_and_names_exist(errand: str, row: str) -> None:
    assert missing(row.replace("`make faults`", "")) == [], errand


def test_a_file_or_a_name_that_is_gone_is_noticed() -> None:
    assert missing("`launch/run.py`: `_launcher`, `gone`; `launch/gone.py`") == [
        "launch/run.py: gone",
        "launch/gone.py",
    ]
