"""Make the JSON Schema of plan.json, a line of journal.jsonl, summary.json, and what compare and history write.

python docs/schema/make.py      from the repository's root; tests/unit/docs/test_schema.py holds the files to the code
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from harness.journal import plan, records
from harness.journal.emulation import Part
from harness.journal.plan import Plan, Record
from reports.schema import summary as summary_schema
from reports.schema.compare import Changes
from reports.schema.history import History
from reports.schema.summary import Summary

HERE = Path(__file__).parent
PACKAGES = ("harness.", "reports.")
"""Where the classes stand that are written to files; a class elsewhere may have the name of one of them."""
CRC32 = {"type": "string", "pattern": "^[0-9a-f]{8}$", "description": "CRC-32 of the line before this key."}


def schemas() -> dict[str, dict[str, Any]]:
    """Each schema (JSON Schema, draft 2020-12), by the stem of the file that it describes."""
    run, report = f"version {plan.SCHEMA}", f"version {summary_schema.SCHEMA}"
    return {
        "plan": schema(Plan, f"plan.json, {run}: what a run measures and how."),
        "journal": journal(f"A line of journal.jsonl, {run}."),
        "summary": schema(Summary, f"summary.json, {report}: every figure of the report."),
        "changes": schema(Changes, f"What `compare --format json` writes, {report}."),
        "history": schema(History, f"history.json, {report}: runs over time."),
    }


def schema(model: Any, title: str) -> dict[str, Any]:
    """The schema of one model as it is written, with the docstrings of its fields as descriptions."""
    content = TypeAdapter(model).json_schema(mode="serialization", by_alias=True)
    described = fields_by_class(Record) | fields_by_class(Part)
    for name, definition in [*content.get("$defs", {}).items(), (getattr(model, "__name__", ""), content)]:
        for field, value in definition.get("properties", {}).items():
            value.pop("title", None)
            if words := described.get(name, {}).get(field):
                value["description"] = words
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **content, "title": title}


def journal(title: str) -> dict[str, Any]:
    """The schema of a journal's line: a record, and the checksum that ends it."""
    content = schema(records.Entry, title)
    for name in {reference["$ref"].rpartition("/")[2] for reference in content["oneOf"]}:
        content["$defs"][name]["properties"]["crc32"] = CRC32
        content["$defs"][name]["required"] = [*content["$defs"][name].get("required", []), "crc32"]
    return content


def fields_by_class(base: type[BaseModel]) -> dict[str, dict[str, str]]:
    """The docstring of every field of a class and its subclasses in ``PACKAGES``, by class, then by name in JSON."""
    every = {base.__name__: docstrings(base)} if base.__module__.startswith(PACKAGES) else {}
    for each in base.__subclasses__():
        every |= fields_by_class(each)
    return every


def docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The string below each field, by the field's name in JSON."""
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)
    words = {}
    for statement, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            field = model.model_fields.get(statement.target.id)
            if field and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                words[field.alias or statement.target.id] = inspect.cleandoc(str(below.value.value))
    return words


if __name__ == "__main__":
    for name, content in schemas().items():
        (HERE / f"{name}.schema.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
