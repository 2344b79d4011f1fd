"""Say how this program was started, as JSON."""

import json
import os
import sys
from pathlib import Path

import launch

facts = {
    "argv": sys.argv,
    "path": sys.path[0],
    "folder": str(Path.cwd()),
    "name": __name__,
    "file": __file__,
    "package": __package__,
    "main": sys.modules["__main__"].__dict__ is globals(),
    "launch": launch.HERE,
    "search path": os.environ.get("PYTHONPATH"),
    "stdin": sys.stdin.read(),
}
print(json.dumps(facts))
