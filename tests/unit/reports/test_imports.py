"""Reports run on a laptop without torch, and leave nobody's matplotlib changed."""

import subprocess
import sys
from pathlib import Path

import reports
from reports.page import page
from tests import factories

HERE = Path(reports.__file__).parent
MODULES = sorted(
    ".".join(("reports", *path.relative_to(HERE).with_suffix("").parts)) for path in HERE.rglob("[!_]*.py")
)


def python(code):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_no_module_imports_torch():
    assert "reports.page.page" in MODULES
    loaded = python(
        f"import sys, {', '.join(MODULES)}; print([name for name in sys.modules if name.split('.')[0] == 'torch'])"
    )
    assert loaded.strip() == "[]"


def test_the_table_and_the_csv_load_no_plots():
    loaded = python("import sys, reports.cli; print({'matplotlib', 'jinja2'} & set(sys.modules))")
    assert loaded.strip() == "set()"


def test_drawing_leaves_no_global_state(tmp_path):
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    before = dict(mpl.rcParams)
    page.write(factories.build(tmp_path / "run", launches=1))
    assert plt.get_fignums() == []
    assert {name: value for name, value in mpl.rcParams.items() if before[name] != value} == {}
