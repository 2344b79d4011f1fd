"""The published schemas, and what in a run directory does not hold to them."""

import json
from pathlib import Path

from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).parents[1] / "docs" / "schema"


def violations(run: Path) -> list[str]:
    """Where plan, journal or summary of a run directory are not what their schema says."""
    texts = {
        "plan": [(run / "plan.json").read_text()],
        "journal": (run / "journal.jsonl").read_text().splitlines(),
        "summary": [(run / "summary.json").read_text()],
    }
    return [
        f"{name}: {error.json_path} {error.message}"
        for name, lines in texts.items()
        for validator in [Draft202012Validator(json.loads((SCHEMAS / f"{name}.schema.json").read_text()))]
        for line in lines
        for error in validator.iter_errors(json.loads(line))
    ]
