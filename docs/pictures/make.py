"""Make the README's pictures from a run: the terminal's table, and the top of the page in light and dark.

python docs/pictures/make.py RUN      needs chromium
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from reports import cli
from reports.formats import terminal

HERE = Path(__file__).parent
CHROMIUM = (
    "chromium",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
)


def shoot(page: Path, picture: str, width: int, height: int, *more: str) -> None:
    with tempfile.TemporaryDirectory() as profile:
        where = (f"--user-data-dir={profile}", f"--window-size={width},{height}", f"--screenshot={HERE / picture}")
        subprocess.run([*CHROMIUM, *where, *more, page.resolve().as_uri()], check=True, capture_output=True)


def main(run: Path) -> None:
    (reported,) = cli.report([run])
    shoot(reported.page, "page-light.png", 1000, 1900)
    shoot(reported.page, "page-dark.png", 1000, 1900, "--blink-settings=preferredColorScheme=0")
    console = Console(record=True, width=112, force_terminal=True, file=Path("/dev/null").open("w"))
    terminal.show(reported.summary, console)
    svg = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="rankbench run"), flags=re.DOTALL)
    view = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    width, height = (int(float(side)) + 1 for side in view.groups())
    with tempfile.TemporaryDirectory() as folder:
        html = Path(folder) / "terminal.html"
        html.write_text(f"<body style='margin:0'>{svg}")
        shoot(html, "terminal.png", width, height)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
