"""The page in a real browser, light and dark, wide, narrow and printed."""

import re
import shutil
import subprocess

import pytest

from reports import page
from tests import factories

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH: apt-get install chromium")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--hide-scrollbars",
)


def chromium(folder, *flags):
    told = [CHROMIUM, *QUIET, f"--user-data-dir={folder / 'profile'}", *flags]
    return subprocess.run(told, check=True, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    key = "split[how=pieces,size=1024]@4"
    run = factories.build(
        tmp_path_factory.mktemp("browser") / "run",
        world_sizes=(1, 2, 4),
        outcomes={(2, key): ("wrong", 1, "<script>document.title='broken'</script><img src=x onerror=alert(1)>")},
    )
    return page.write(run)


def test_the_browser_reads_what_we_wrote_and_runs_no_script(path, tmp_path):
    dom = chromium(tmp_path, "--dump-dom", f"file://{path}").stdout
    assert "<title>split on 4 devices (Synthetic 3000)" in dom
    assert "<script" not in dom
    assert len(re.findall("<svg ", dom)) == 6
    assert "&lt;script&gt;" in dom


def test_it_violates_nothing_and_asks_for_nothing(path, tmp_path):
    told = chromium(tmp_path, "--enable-logging=stderr", "--v=0", "--dump-dom", f"file://{path}").stderr
    assert "Content Security Policy" not in told
    assert "ERR_" not in told


def test_light_and_dark_differ(path, tmp_path):
    """Scheme 0 is dark and 1 is light in Chromium's own settings."""
    shades = {}
    for name, scheme in (("dark", 0), ("light", 1)):
        shot = tmp_path / f"{name}.png"
        look = f"--blink-settings=preferredColorScheme={scheme}"
        chromium(tmp_path, look, "--window-size=900,1200", f"--screenshot={shot}", f"file://{path}")
        shades[name] = brightness(shot)
    assert shades["dark"] < 0.25
    assert shades["light"] > 0.85


def test_it_prints_on_few_pages(path, tmp_path):
    paper = tmp_path / "page.pdf"
    chromium(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={paper}", f"file://{path}")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes())) <= 9


def test_a_narrow_page_does_not_scroll_sideways(path, tmp_path):
    """A frame of 400 pixels: its body reports its own width through the frame's title."""
    probe = tmp_path / "probe.html"
    probe.write_text(
        f"<body><iframe id=f src='file://{path}' style='border:0;width:400px;height:900px'></iframe><script>"
        "f.onload = () => { document.title = 'width ' + f.contentDocument.documentElement.scrollWidth }</script>"
    )
    dom = chromium(
        tmp_path, "--allow-file-access-from-files", "--virtual-time-budget=2000", "--dump-dom", f"file://{probe}"
    )
    assert "<title>width 400</title>" in dom.stdout


def brightness(shot):
    from matplotlib import image

    return float(image.imread(shot)[..., :3].mean())
