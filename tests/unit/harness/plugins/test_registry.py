"""The catalog: what a scenario class says about itself, and what is wrong with one that says too little."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

import scenarios
from harness.cli.app import run_app
from harness.common.errors import UsageError
from harness.common.text import nearest
from harness.planning.builder import make
from harness.planning.request import RunRequest
from harness.plugins import registry
from scenarios import chapter
from tests.limits import LIMIT_S

GOOD = '''
"""A plugin of one's own."""
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal
from pydantic import Field
from harness.scenario import Gang, Work, Workload, variant, axis

@dataclass(frozen=True, kw_only=True)
class HelloWorld:
    scaling: ClassVar = "none"
    length: int = axis(3, 5, 7)
    ratio: float = 0.5
    word: str = ""
    few: Literal[0, 4] = 0
    part: Annotated[float, Field(le=1)] = 0
    on: bool = False
    how: Literal["fast", "slow"] = variant(baseline="slow")

    def prepare(self, gang: Gang) -> Workload:
        return Workload(lambda: 1, check=lambda output: None, work=Work())
'''


def plugin(folder: Path, text: str = GOOD) -> str:
    path = folder / "plugin.py"
    path.write_text(text)
    return f"{path}:HelloWorld"


def test_the_projects_scenarios_are_found_by_name_and_by_exercise() -> None:
    assert {"frobenius", "split"} <= set(registry.scenarios())
    assert [entry.name for entry in registry.find("5.6.4")] == ["split"]


def test_a_plugin_file_needs_no_registration(tmp_path: Path) -> None:
    (entry,) = registry.find(plugin(tmp_path))
    assert entry.name == "hello_world"
    assert entry.title == "A plugin of one's own."
    assert (entry.variant_field, entry.baseline, entry.variants) == ("how", "slow", ("slow", "fast"))
    assert entry.sweep("length") == (3, 5, 7)
    others = {"word": "", "few": 0, "part": 0.0, "on": False}
    assert entry.defaults == {"length": 3, "ratio": 0.5, "how": "slow"} | others
    assert registry.load(entry.reference).cls is entry.cls


def test_text_becomes_a_value_of_the_fields_type(tmp_path: Path) -> None:
    (entry,) = registry.find(plugin(tmp_path))
    texts = {"length": "-12", "ratio": "0", "word": "", "few": "4", "part": "-0.5", "on": "true", "how": "fast"}
    values = {name: entry.value(name, text) for name, text in texts.items()}
    assert values == {"length": -12, "ratio": 0, "word": "", "few": 4, "part": -0.5, "on": True, "how": "fast"}
    assert [type(value) for value in values.values()] == [int, float, str, int, float, bool, str]


@pytest.mark.parametrize(
    ("field", "text", "told"),
    [
        ("length", "x", "of type int"),
        ("length", "", "of type int"),
        ("ratio", "nan", "be finite"),
        ("ratio", "-1e999", "be finite"),
        ("word", "a\nb", "have printable characters only"),
        ("word", "gr\udcf6sse", "have printable characters only"),
        ("few", "1", "be one of its values"),
        ("part", "2.0", "fit its type"),
        ("how", "fats", "did you mean 'fast'"),
        ("lenght", "3", "did you mean 'length'"),
    ],
)
def test_a_bad_value_is_one_line_with_the_remedy(tmp_path: Path, field: str, text: str, told: str) -> None:
    (entry,) = registry.find(plugin(tmp_path))
    with pytest.raises(UsageError, match=told) as error:
        entry.value(field, text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('scaling: ClassVar = "none"', "", "declare scaling"),
        ('"none"', '"linear"', "declare scaling"),
        ("length: int = axis(3, 5, 7)", "length: int", "give every axis a default"),
        ("def prepare", "def prepared", "have prepare"),
        ("ratio: float = 0.5", 'ratio: Literal["a"] = variant(baseline="a")', "at most one variant"),
        ("@dataclass(frozen=True, kw_only=True)", "", "be a dataclass"),
        ("length: int = axis(3, 5, 7)", "length: tuple[int, ...] = (3, 5)", "declare every axis as bool, int"),
        ("length: int = axis(3, 5, 7)", "length: int | None = None", "declare every axis as bool, int"),
        ("length: int = axis(3, 5, 7)", "length: int = None", "a value of 'length' must be of type int"),
        ("length: int = axis(3, 5, 7)", "length: int = axis(3, 5.5)", "a value of 'length' must be of type int"),
        ("length: int = axis(3, 5, 7)", "length: int = axis(3, full=(True,))", "a value of 'length' must be of type"),
        ("length: int = axis(3, 5, 7)", "length: str = axis('a', 5)", "a value of 'length' must be of its type, str"),
        ("length: int = axis(3, 5, 7)", "length: 'Tensor' = 3", "have types that can be looked up"),
        ("ratio: float = 0.5", "ratio: float = float('inf')", "a value of 'ratio' must be finite"),
        ('variant(baseline="slow")', 'variant(baseline="slaw")', "did you mean 'slow'"),
        ('Literal["fast", "slow"]', "str", "declare its variant as a Literal"),
        ("from dataclasses", "raise SystemExit('a script')\nfrom dataclasses", "SystemExit: a script"),
        ("class HelloWorld", "class Hello", "import without an error"),
        ("from dataclasses", "from datacasses", "import without an error"),
    ],
)
def test_a_scenario_that_says_too_little_is_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        registry.find(plugin(tmp_path, GOOD.replace(old, new)))


PART = """
from dataclasses import dataclass
from typing import ClassVar
from harness.scenario import Exercise, Gang, Work, Workload, axis

@dataclass(frozen=True, kw_only=True)
class {name}:
    exercises: ClassVar = ({told})
    scaling: ClassVar = "none"
    length: int = axis(3, 5, full=(9,))

    def prepare(self, gang: Gang) -> Workload:
        return Workload(lambda: 1, check=lambda output: None, work=Work())
"""


@pytest.fixture
def orchestra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installs a package of two scenarios, and one beside it that answers an exercise of theirs too."""
    package = tmp_path / "orchestra"
    package.mkdir()
    (package / "__init__.py").write_text('"""Instruments."""')
    parts = {"orchestra.strings": "Violin", "orchestra.winds": "Flute", "soloist": "Singer"}
    for number, (module, name) in enumerate(parts.items()):
        own = f'Exercise(number="0.1.{number}", task="", answer=""), Exercise(number="0.2", task="", answer=""),'
        (tmp_path / f"{module.replace('.', '/')}.py").write_text(PART.format(name=name, told=own))
    named = {"Singer": "diva"}  # not its own name
    points = EntryPoints(
        EntryPoint(named.get(name, name.lower()), f"scenarios.chapter.{module}:{name}", registry.GROUP)
        for module, name in parts.items()
    )
    monkeypatch.setattr(chapter, "__path__", [*chapter.__path__, str(tmp_path)])
    monkeypatch.setattr(registry, "entry_points", points.select)
    for module in ("orchestra", *parts, "twin"):
        monkeypatch.delitem(sys.modules, f"scenarios.chapter.{module}", raising=False)


@pytest.mark.usefixtures("orchestra")
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("flute", ["flute"]),
        ("orchestra", ["violin", "flute"]),  # the subject: every scenario of its package
        ("soloist", ["singer"]),  # of a module of its own, the module's name
        ("0.1.0", ["violin"]),
        ("0.2", ["violin", "flute", "singer"]),  # an exercise that several answer, in the exercises' order
    ],
)
def test_a_name_a_subject_or_an_exercise_says_which_scenarios(name: str, found: list[str]) -> None:
    assert [entry.name for entry in registry.find(name)] == found
    assert [
        comparison.scenario for comparison in make(RunRequest(names=[name, name], devices="cpu:1")).comparisons
    ] == [each for each in found for _ in (3, 5)]


@pytest.mark.usefixtures("orchestra")
def test_a_name_imports_its_own_module_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "soloist.py").write_text("raise ImportError")
    assert [entry.name for entry in registry.find("flute")] == ["flute"]
    assert "scenarios.chapter.orchestra.strings" not in sys.modules
    with pytest.raises(UsageError, match="import without an error"):
        registry.find("singer")


@pytest.mark.usefixtures("orchestra")
def test_a_misspelt_subject_or_exercise_is_answered_with_the_nearest() -> None:
    for name, close in (("orchestre", "orchestra"), ("0.1.00", "0.1.0")):
        with pytest.raises(UsageError, match=f"did you mean '{close}'"):
            registry.find(name)


@pytest.mark.usefixtures("orchestra")
def test_a_scenario_is_found_by_the_name_of_its_entry_point_too() -> None:
    assert registry.find("diva") == registry.find("singer")


@pytest.mark.usefixtures("orchestra")
def test_a_plugin_that_does_not_load_takes_no_other_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "soloist.py").write_text("raise SystemExit('no licence')")
    assert [entry.name for entry in registry.find("0.2")] == ["violin", "flute"]
    assert set(registry.scenarios()) == {"violin", "flute"}
    with pytest.raises(UsageError, match="did you mean 'violin'"):
        registry.find("violins")
    assert run_app(["list"]) == 0
    told = capsys.readouterr()
    assert "violin" in told.out
    assert told.err.count("\n") == 1
    assert "scenarios.chapter.soloist:Singer (SystemExit: no licence)" in told.err


@pytest.mark.usefixtures("orchestra")
@pytest.mark.parametrize("name", ["flute", "flute_too"])
def test_two_scenarios_of_one_name_are_refused_where_that_name_is_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    (tmp_path / "twin.py").write_text(PART.format(name="Flute", told=""))
    twin = EntryPoint(name, "scenarios.chapter.twin:Flute", registry.GROUP)
    points = EntryPoints([*registry.entry_points(group=registry.GROUP), twin])
    monkeypatch.setattr(registry, "entry_points", points.select)
    both = r"'flute' of .*scenarios.chapter.orchestra.winds:Flute.* and .*scenarios.chapter.twin:Flute"
    for run_request in (RunRequest(names=["flute"], devices="cpu:1"), RunRequest(devices="cpu:1", preset="chapter")):
        with pytest.raises(UsageError, match=both):
            make(run_request)
    assert [entry.name for entry in registry.find("0.1.0")] == ["violin"]
    reference = "scenarios.chapter.twin:Flute"
    assert [entry.reference for entry in registry.find(reference)] == [reference]
    assert run_app(["list"]) == 0
    assert re.search(both, capsys.readouterr().err)


@pytest.mark.usefixtures("orchestra")
@pytest.mark.parametrize(("preset", "lengths"), [(None, [3, 5]), ("smoke", [3]), ("chapter", [3, 5]), ("full", [9])])
def test_presets_sweep_an_axis_over_its_default_its_values_or_all(preset: str | None, lengths: list[int]) -> None:
    plan = make(RunRequest(names=["flute"], devices="cpu:1", preset=preset))
    assert [comparison.params["length"] for comparison in plan.comparisons] == lengths


@pytest.mark.usefixtures("orchestra")
@pytest.mark.parametrize("preset", ["chapter", "full"])
def test_the_larger_presets_take_every_scenario(preset: str) -> None:
    plan = make(RunRequest(devices="cpu:1", preset=preset))
    assert [*dict.fromkeys(comparison.scenario for comparison in plan.comparisons)] == ["violin", "flute", "singer"]


@pytest.mark.usefixtures("orchestra")
@pytest.mark.parametrize("preset", ["smoke", "full"])
def test_a_setting_goes_before_the_preset(preset: str) -> None:
    plan = make(RunRequest(names=["flute"], devices="cpu:1", preset=preset, settings=["flute.length=7,8"]))
    assert [comparison.params["length"] for comparison in plan.comparisons] == [7, 8]


IMPORTS = """
import pkgutil, sys, scenarios
found = [module.name for module in pkgutil.walk_packages(scenarios.__path__, "scenarios.")]
for name in found:
    __import__(name)
print(len(found), *({"ray", "pandas", "matplotlib"} & sys.modules.keys()))
"""


def test_no_scenario_imports_ray_or_pandas() -> None:
    files = [path for path in Path(scenarios.__file__).parent.rglob("*.py") if path.name != "__init__.py"]
    told = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True).stdout.split()
    assert int(told[0]) >= len(files) > 30
    assert told[1:] == []


PARTNERS = {"context", "links", "rings"}
"""Modules whose subject is which rank sends to which."""
MODULES = sorted(each for each in Path(scenarios.__file__).parent.rglob("*.py") if each.stem not in PARTNERS)
BANNED = {"time", "timeit", "datetime", "print", "perf_counter", "monotonic", "Event", "synchronize"}
"""Clocks, what one waits for before reading one, and printing."""


def strange(tree: ast.AST) -> Iterator[str]:
    """What a scenario has no business with: clocks, printing, and arithmetic with ranks."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {getattr(node, "module", None) or "", *(alias.name for alias in node.names)}
            yield from (name for name in names if name.partition(".")[0] in BANNED)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in BANNED:
            yield ast.unparse(node)
        elif isinstance(node, ast.BinOp):
            terms = (term for term in (node.left, node.right) if not isinstance(term, ast.JoinedStr))  # a file's name
            if any(
                isinstance(each, ast.Attribute) and each.attr == "rank" for term in terms for each in ast.walk(term)
            ):
                yield ast.unparse(node)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_scenario_times_prints_or_computes_with_ranks(path: Path) -> None:
    assert list(strange(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "mistake",
    [
        "import time", "from time import perf_counter", "start = clock.monotonic()", "torch.cuda.synchronize()",
        "mark = torch.cuda.Event(enable_timing=True)", "print(norm)", "first = gang.rank * len(pairs) // gang.size",
        "mine = pairs[self.gang.rank + 1]", "turn = step % (gang.rank + 1)",
    ],
)  # fmt: skip
def test_what_a_scenario_has_no_business_with_is_seen(mistake: str) -> None:
    assert list(strange(ast.parse(mistake)))


def test_a_file_without_its_class_is_answered_with_how_to_name_one() -> None:
    with pytest.raises(UsageError, match=r"name the class that is in a file, but .* e.g. my/work.py:Mine"):
        registry.find("my/work.py")
    with pytest.raises(UsageError, match=r"be a scenario, and no command line, but is 'python x.py'"):
        registry.find("python x.py")


BESIDE = GOOD.replace("axis(3, 5, 7)", "LENGTH").replace(
    "from dataclasses", "from helper_of_mine import LENGTH\nfrom dataclasses"
)
SPAWNS = """
import sys
from multiprocessing import get_context
from harness.plugins import registry as catalog

if __name__ == "__main__":
    sample = catalog.load(sys.argv[1]).cls(length=4)
    for method in ("spawn", "forkserver"):
        with get_context(method).Pool(1) as pool:
            assert pool.apply(repr, [sample]) == repr(sample)
"""


def test_what_lies_beside_a_scenario_and_the_scenario_itself_can_be_imported_by_processes_that_it_starts(
    tmp_path: Path,
) -> None:
    """A data loader pickles what its workers need."""
    (tmp_path / "helper_of_mine.py").write_text("LENGTH = 3")
    (tmp_path / "spawns.py").write_text(SPAWNS)
    reference = plugin(tmp_path, BESIDE)
    subprocess.run([sys.executable, "-P", tmp_path / "spawns.py", reference], check=True, timeout=LIMIT_S)


def test_a_module_of_the_current_folder_is_a_scenario_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(tmp_path)
    (tmp_path / "plugin.py").rename(tmp_path / "my_very_own_work.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    assert registry.load("my_very_own_work:HelloWorld").name == "hello_world"
    with pytest.raises(UsageError, match="No module named 'nobodys_work'"):
        registry.load("nobodys_work:HelloWorld")


def test_each_choice_is_told_once() -> None:
    assert nearest("zzz", ["b", "a", "b"]) == "choose from a, b"


def test_a_field_that_is_called_ranks_is_an_axis_and_says_nothing_of_how_many_make_sense() -> None:
    plugins = Path(__file__).parents[3] / "distributed" / "plugins.py"
    entry = registry.load(f"{plugins}:SlowOnOne")
    assert (entry.variant_field, entry.ranks) == ("ranks", (1, None))
