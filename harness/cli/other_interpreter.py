"""The command line in an interpreter that lacks these packages: ``other/python PATH/other_interpreter.py run …``."""

import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory


def main() -> int:
    """Run the command line given by the arguments, and return its exit code."""
    home = str(Path(__file__).resolve().parents[2])
    sys.path.insert(0, home)  # for the next line alone: beside these packages there may be another PyTorch
    from harness.common.packages import linked, within_reach

    sys.path.remove(home)
    with TemporaryDirectory(prefix="rankbench-") as folder:
        line = [sys.executable, "-P", "-m", "harness", *sys.argv[1:]]
        process = subprocess.Popen(line, env=within_reach(packages=linked(folder)))  # noqa: S603
        signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C reaches the process too, which ends in its own way
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: process.send_signal(number))
        return process.wait()


if __name__ == "__main__":
    sys.exit(main())
