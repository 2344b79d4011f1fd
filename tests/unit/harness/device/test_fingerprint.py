"""What environment.json says of the devices of a run."""

from __future__ import annotations

import pytest

from harness.device import fingerprint


def test_devices_of_other_hosts_are_named_and_no_more() -> None:
    told = fingerprint.describe(["cpu:0", "cuda:900"])
    assert [sorted(device) for device in told["devices"]] == [["model", "name"], ["name"]]
    assert told["devices"][1] == {"name": "cuda:900"}


def test_nothing_secret_is_recorded_by_name_or_within_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "RAY_AUTH_TOKEN": "abc",
        "NCCL_NET_KEY": "abc",
        "HOME": "/abc",
        "RAY_REDIS_ADDRESS": "redis://me:abc@host:1",
    }
    for name, value in (told | {"NCCL_ALGO": "Ring"}).items():
        monkeypatch.setenv(name, value)
    recorded = fingerprint.variables()
    assert recorded["NCCL_ALGO"] == "Ring"
    assert recorded["RAY_REDIS_ADDRESS"] == "redis://…@host:1"
    assert not {name for name, value in recorded.items() if "abc" in value}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RAY_JOB_CONFIG_JSON_ENV_VAR", '{"runtime_env": {"env_vars": {"X": "abc"}}}'),
        ("RAY_REDIS_PASS", "abc"),
        ("NCCL_PWD", "abc"),
        ("RAY_ADDRESS", "ray://u:a/abc@host"),
        ("RAY_ADDRESS", "ray://u:p@abc@host"),
    ],
)
def test_no_shape_of_a_secret_is_recorded(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert "abc" not in str(fingerprint.variables())
