"""docs/schema describes the files of a run directory: it is what the code makes, and files hold to it."""

import importlib.util
import json
from pathlib import Path

import pytest

from launch.processes import meeting
from reports.analysis import summary
from tests import factories
from tests.schemas import SCHEMAS, violations

SPEC = importlib.util.spec_from_file_location("make_schemas", SCHEMAS / "make.py")
make = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make)


@pytest.mark.parametrize("name", ["plan", "journal", "summary", "changes", "history"])
def test_what_is_published_is_what_the_code_writes(name: str) -> None:
    published = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    assert published == make.schemas()[name], "python docs/schema/make.py"


def test_a_class_of_the_same_name_that_is_in_no_file_describes_nothing() -> None:
    assert meeting.Refusal.__name__ in make.schemas()["summary"]["$defs"]
    published = make.schemas()["summary"]["$defs"]["Refusal"]["properties"]
    assert published["reason"]["description"] == "As a clause." and "description" not in published["kind"]


def test_every_field_that_has_a_docstring_has_it_in_the_schema() -> None:
    case = json.loads((SCHEMAS / "plan.schema.json").read_text())["$defs"]["Exercise"]["properties"]
    assert case["number"]["description"] == "E.g. ``5.6.4``."


def test_the_files_of_a_run_hold_to_it_and_others_do_not(tmp_path: Path) -> None:
    run = factories.build(tmp_path)
    (tmp_path / "summary.json").write_text(summary.summarise(run).to_json())
    assert violations(tmp_path) == []
    plan = json.loads((tmp_path / "plan.json").read_text())
    (tmp_path / "plan.json").write_text(json.dumps(plan | {"launches": "six", "surprise": 1}))
    assert len(violations(tmp_path)) == 2
