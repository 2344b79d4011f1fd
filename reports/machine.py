"""environment.json as reports read it: which parts it has, and that their facts are plain values, lists and records."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic_core import from_json, to_json

from harness.errors import JournalError
from harness.files import content
from harness.rundir import RunDir

Facts = dict[str, JsonValue]


class Machine(BaseModel):
    """The parts. A part may be missing, and there is no other."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    host: Facts = Field(default_factory=dict)
    devices: tuple[Facts, ...] = ()
    software: Facts = Field(default_factory=dict)
    variables: dict[str, str] = Field(default_factory=dict)
    git: Facts | None = None
    links: JsonValue = None
    gpus_now: Facts = Field(default_factory=dict)
    load_average: tuple[float, ...] = ()
    hash: str = ""
    sides: dict[str, Facts] = Field(default_factory=dict)
    """What each other side has otherwise."""


def environment(run: RunDir) -> dict[str, Any] | None:
    """What environment.json says, as it says it; None where there is none. Raises JournalError where it is none."""
    if not run.environment_path.is_file():
        return None
    try:
        plain = from_json(content(run.environment_path), allow_inf_nan=False)  # inside of facts too
        told = Machine.model_validate_json(to_json(plain), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise JournalError(f"{run.environment_path}: {first['msg']} at {first['loc']}; remove it") from None
    except ValueError as error:
        raise JournalError(f"{run.environment_path}: {error}; remove it") from None
    return told.model_dump(mode="json", exclude_unset=True)
