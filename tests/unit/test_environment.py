"""What environment.json says of the devices of a run."""

from __future__ import annotations

from harness import environment


def test_devices_of_other_hosts_are_named_and_no_more() -> None:
    told = environment.describe(["cpu:0", "cuda:900"])
    assert [sorted(device) for device in told["devices"]] == [["model", "name"], ["name"]]
    assert told["devices"][1] == {"name": "cuda:900"}
