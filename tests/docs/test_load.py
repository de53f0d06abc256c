"""docs/how-to/load.md: both ways give the same images and columns."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "load.md"
Covar = Callable[..., "subprocess.CompletedProcess[str]"]
SAY = """
import json
rows = [(row["key"], row["image"].size, row["mask"].size, row["class_name"]) for row in data]
print(json.dumps([sorted(data.column_names), rows]))
"""


def test_both_ways_of_the_page_give_the_same_data(
    covar: Covar, recipe: Path, tmp_path: Path
) -> None:
    text = recipe.read_text(encoding="utf-8").partition("[backgrounds]")[0]
    recipe.write_text(text, encoding="utf-8")
    covar("run", recipe, "--run", "run")
    page = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    ways = [block for block in blocks if "\ndata = " in block]
    assert len(ways) == 2
    (tmp_path / "elsewhere").mkdir()
    said = []
    for way in ways:
        assert "runs/demo" in way
        done = subprocess.run(
            [sys.executable, "-c", way.replace("runs/demo", str(tmp_path / "run")) + SAY],
            capture_output=True,
            text=True,
            cwd=tmp_path / "elsewhere",
            env={**os.environ, "HF_HOME": str(tmp_path / "cache")},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said.append(json.loads(done.stdout.splitlines()[-1]))
    assert said[0] == said[1]
    assert len(said[0][1]) == 6
