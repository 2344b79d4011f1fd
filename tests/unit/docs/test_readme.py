"""README and docs: links lead somewhere, the README's own scenario is right, and commands are there."""

import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from harness.cli.app import app
from harness.gang import Gang
from harness.work import contract
from tests.ranks import Ranks, gang

ROOT = Path(__file__).parents[3]
TEXTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks" / "README.md"])
README = (ROOT / "README.md").read_text()


def two_steps(mine: Gang, approximate: str) -> None:
    """Do two steps of the README's scenario and check the output."""
    space: dict[str, Any] = {"__name__": __name__}
    (source,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(source, "README.md", "exec"), space)
    workload = contract.validated(space["Gelu"](approximate=approximate).prepare(mine))
    workload.step()
    workload.check(workload.step())


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_the_scenario_of_the_readme_is_right_on_one_rank_and_on_two(two_ranks: Ranks, approximate: str) -> None:
    two_steps(gang(0, 1), approximate)
    two_ranks.do(two_steps, approximate)


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(text: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)|(?:src|srcset)=\"([^\"]+)\"", text.read_text())
    missing = {
        link for pair in links for link in pair if link and "://" not in link and not (text.parent / link).exists()
    }
    assert not missing


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_and_options_that_are_shown_exist(text: Path) -> None:
    known = get_command(app).commands
    for name, line in re.findall(r"^(?: {4}|.*`)rankbench ([a-z]+)\b([^`#\n]*)", text.read_text(), re.MULTILINE):
        assert name in known, name
        if name == "script":  # what stands behind its name is the script's
            line = re.split(r"\.py\b| -m ", line)[0]  # noqa: PLW2901
        options = {option for parameter in known[name].params for option in parameter.opts}
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", line)) <= options | {"--help"}, line
