"""The constraints file can be met on every platform: by a build of PyTorch for CUDA as by one for the CPU."""

from collections import Counter
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PINS = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if line.strip()]


def test_no_package_is_pinned_twice():
    names = Counter(canonicalize_name(pin.name) for pin in PINS)
    assert [name for name, count in names.items() if count > 1] == []


def test_no_pin_names_a_local_build():
    assert [str(pin) for pin in PINS if any("+" in specifier.version for specifier in pin.specifier)] == []


def test_builds_for_cuda_and_for_the_cpu_are_accepted_alike():
    (torch,) = (pin for pin in PINS if pin.name == "torch")
    (specifier,) = torch.specifier
    for build in ("", "+cpu", "+cu130"):
        assert torch.specifier.contains(specifier.version + build), build
