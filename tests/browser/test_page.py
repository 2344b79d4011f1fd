"""The page in a real browser, light and dark, wide, narrow and printed."""

import html
import json
import re
import shutil
import subprocess

import pytest

from harness.cli import app
from harness.journal.measurement_warnings import Kind, MeasurementWarning
from harness.journal.plan import Exercise, Side
from reports.page import page
from tests import factories
from tests.hostile import EVERYTHING
from tests.limits import LIMIT_S
from tests.planted import Machine

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
    return subprocess.run(told, check=True, capture_output=True, text=True, timeout=LIMIT_S)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    key = "split[how=pieces,size=1024]@4"
    run = factories.build(
        tmp_path_factory.mktemp("browser") / "run",
        world_sizes=(1, 2, 4),
        outcomes={(2, key): ("wrong", 1, "<script>document.title='broken'</script><img src=x onerror=alert(1)>")},
    )
    page.write(run)
    return run.page_path


def test_the_browser_reads_what_we_wrote_and_runs_no_script_of_others(path, tmp_path):
    dom = chromium(tmp_path, "--dump-dom", f"file://{path}").stdout
    assert "<title>split on 4 devices (Synthetic 3000)" in dom
    assert dom.count("<script") == 1
    assert len(re.findall("<svg ", dom)) == 10
    assert "&lt;script&gt;" in dom


def test_a_page_of_markup_and_control_characters_runs_nothing(tmp_path):
    """Whatever a plugin or a file may bring stands in it, everywhere: none of it is an element."""
    poison = "<script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"
    evil = f"{poison}'\"><svg onload=alert(1)> javascript:alert(1) {EVERYTHING}".replace("\ud800", "")
    name = f"s{poison}"
    run = factories.build(
        tmp_path / "run",
        scenario=name,
        title=evil,
        variants=("whole", f"p{evil}"),
        params={"text": evil},
        exercises=(
            Exercise(number=poison, task=evil, answer=f"{evil.replace('{', '').replace('}', '')} {{whole.speedup}}."),
        ),
        warnings={
            (0, f"{name}[how=whole,size=1024,text={evil}]@2"): (MeasurementWarning(kind=Kind.FOREIGN_LOAD, fact=evil),)
        },
        outcomes={(2, f"{name}[how=whole,size=1024,text={evil}]@1"): ("error", 0, evil)},
        host=lambda *_: evil,
        command=evil,
        sides=(Side(name=evil), Side(name=poison, launcher="ray", variables={"A": evil})),
        launches=12,
    )
    told = json.loads(run.environment_path.read_text())
    told["host"] |= {"cpu": evil, evil: evil}
    told["variables"] = {evil: evil}
    run.environment_path.write_text(json.dumps(told))
    factories.edit(run, lambda text: text.replace("Synthetic 3000", json.dumps(poison)[1:-1]))
    page.write(run)
    seen = chromium(tmp_path, "--enable-logging=stderr", "--v=0", "--dump-dom", f"file://{run.page_path}")
    assert "Content Security Policy" not in seen.stderr
    assert "ERR_" not in seen.stderr
    title = re.search("<title>(.*?)</title>", seen.stdout, re.DOTALL)[1]
    assert html.escape(poison[:20], quote=False) in title
    assert title != "broken"
    script = """
        const all = [...page.querySelectorAll("*")];
        const named = all.filter(each => /^(iframe|object|embed|form|link)$/i.test(each.tagName));
        const acts = own => /^on/i.test(own.name) || /^javascript:/i.test(own.value.trim());
        const acting = all.filter(each => [...each.attributes].some(acts));
        return [page.scripts.length, page.images.length, named.length, acting.length];
    """
    assert asked(tmp_path, run.page_path, script) == [1, 0, 0, 0]


def test_it_violates_nothing_and_asks_for_nothing(path, tmp_path):
    told = chromium(tmp_path, "--enable-logging=stderr", "--v=0", "--dump-dom", f"file://{path}").stderr
    assert "Content Security Policy" not in told
    assert "ERR_" not in told


def test_a_table_sorts_by_a_button_and_comes_back(path, tmp_path):
    told = asked(
        tmp_path,
        path,
        """
        const table = page.querySelector("section table.sorts"), head = table.tHead.rows[0].cells[2];
        const button = head.firstElementChild;
        button.focus();
        const seen = [button.tagName, page.activeElement === button];
        for (let turn = 0; turn < 4; turn++) {
            seen.push([head.ariaSort, [...table.tBodies[0].rows].map(row => row.cells[2].dataset.v)]);
            button.click();
        }
        page.querySelector("section table.sorts").tHead.rows[0].cells[1].firstElementChild.click();
        seen.push([...table.tHead.rows[0].cells].map(each => each.ariaSort));
        return seen;
        """,
    )
    assert told[:2] == ["BUTTON", True]
    (none, plain), (up, rising), (down, falling), (again, back) = told[2:6]
    assert (none, up, down, again) == (None, "ascending", "descending", None)
    assert plain == back
    assert plain != rising
    timed = sorted((value for value in plain if value), key=float)
    assert "" in plain  # a wrong case has no time: it stays behind the others
    assert rising == timed + [""] * (len(plain) - len(timed))
    assert falling == timed[::-1] + [""] * (len(plain) - len(timed))
    assert told[6] == [None, "ascending", *[None] * (len(told[6]) - 2)]


def test_the_first_stop_of_the_keyboard_leads_to_the_content(path, tmp_path):
    script = """
        const link = page.querySelector("a, button, summary, [tabindex]");
        const away = link.getBoundingClientRect().bottom;
        link.focus();
        const there = link.getBoundingClientRect().top;
        link.click();
        return [away < 0, there >= 0, page.activeElement.id];
    """
    assert asked(tmp_path, path, script) == [True, True, "main"]


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
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes())) <= 10


def test_a_narrow_page_does_not_scroll_sideways(path, tmp_path):
    assert width_of(tmp_path, path, 400) == 400


@pytest.fixture(scope="module")
def chapter(chapter_run):
    return chapter_run.page_path


def opened(folder, url):
    """Which of the folded comparisons are open."""
    dom = chromium(folder, "--dump-dom", url).stdout
    return [place for place, flag in enumerate(re.findall(r'<details class="part"( open="")?>', dom)) if flag]


def test_a_link_opens_the_comparison_that_it_leads_to(chapter, tmp_path):
    assert opened(tmp_path, f"file://{chapter}") == []
    assert opened(tmp_path, f"file://{chapter}#c3") == [3]


def test_a_chapter_runs_no_script_and_asks_for_nothing(chapter, tmp_path):
    told = chromium(tmp_path, "--enable-logging=stderr", "--v=0", "--dump-dom", f"file://{chapter}")
    assert "Content Security Policy" not in told.stderr
    assert "ERR_" not in told.stderr
    assert told.stdout.count("<script") == 1
    assert "<img" not in told.stdout


def test_paper_has_the_folded_comparisons(chapter, tmp_path):
    """Each has some text that stands in its fold alone."""
    paper = tmp_path / "page.pdf"
    chromium(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={paper}", f"file://{chapter}")
    folded = len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes()))
    plain = tmp_path / "plain.html"
    plain.write_text(chapter.read_text().replace('<details class="part">', '<details class="part aside">'))
    chromium(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={paper}", f"file://{plain}")
    without = len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes()))
    assert without + 5 <= folded <= 30


@pytest.mark.parametrize("width", [360, 700, 1000])
def test_no_width_makes_a_chapter_scroll_sideways(chapter, tmp_path, width):
    assert width_of(tmp_path, chapter, width) == width


@pytest.mark.parametrize("ranks", [8, 32, 512])
def test_a_page_of_many_ranks_fits_and_no_two_labels_of_a_plot_overlap(tmp_path, ranks):
    run = Machine(ranks, "slow device", 0.3, seed=1).build(tmp_path / "run")
    page.write(run)
    overlapping = """
        for (const fold of page.querySelectorAll("details")) fold.open = true;
        const meet = (one, other) => Math.min(one.right, other.right) - Math.max(one.left, other.left) > 1
            && Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > 2;
        const pairs = [];
        for (const plot of page.querySelectorAll("svg.plot")) {
            const texts = [...plot.querySelectorAll("text")];
            const labels = texts.map(each => [each.textContent, each.getBoundingClientRect()]);
            labels.forEach(([text, box], place) => {
                for (const [other, beside] of labels.slice(place + 1)) if (meet(box, beside)) pairs.push([text, other]);
            });
        }
        return [page.documentElement.scrollWidth, pairs, Math.max(...[...page.querySelectorAll("table")].map(table =>
            table.rows.length))];
    """
    for width in (360, 1000):
        across, pairs, rows = asked(tmp_path, run.page_path, overlapping, width)
        assert across == width
        assert not pairs
        assert rows <= 40


def width_of(folder, path, width):
    """The width that a page takes in a frame."""
    return asked(folder, path, "return page.documentElement.scrollWidth", width)


def asked(folder, path, script, width=1000):
    """What a script finds out about a page in a frame: told, as JSON, through the title of the page around it."""
    probe = folder / "probe.html"
    probe.write_text(
        f"<body><iframe id=f src='file://{path}' style='border:0;width:{width}px;height:900px'></iframe><script>"
        f"function found(page) {{ {script} }}"
        "f.onload = () => { document.title = JSON.stringify(found(f.contentDocument)) }</script>"
    )
    flags = ("--allow-file-access-from-files", "--virtual-time-budget=2000", "--window-size=1300,1000")
    dom = chromium(folder, *flags, "--dump-dom", f"file://{probe}").stdout
    return json.loads(html.unescape(re.search("<title>(.*?)</title>", dom)[1]))


def brightness(shot):
    from matplotlib import image

    return float(image.imread(shot)[..., :3].mean())


def test_a_history_of_runs_asks_for_nothing_and_does_not_scroll_sideways(tmp_path):
    runs = [factories.build(tmp_path / f"run{seed}", seed=seed, sizes=(512, 1024)) for seed in range(3)]
    assert app.run_app(["report", *(str(run.root) for run in runs)]) == 0
    (path,) = tmp_path.glob("*/history.html")
    told = chromium(tmp_path, "--enable-logging=stderr", "--v=0", "--dump-dom", f"file://{path}")
    assert "Content Security Policy" not in told.stderr
    assert "ERR_" not in told.stderr
    assert len(re.findall("<svg ", told.stdout)) == 4
    assert width_of(tmp_path, path, 400) == 400
