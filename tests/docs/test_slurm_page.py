"""docs/how-to/slurm.md: the job makes a whole run, with a stand-in for srun that starts processes.

The stand-in does what Slurm's does for a job of two nodes: it starts the command once per task, and
tells each task its number by the variables of Slurm's own names.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from covar_gen.core import flow
from covar_gen.core.plan import lacks
from covar_gen.core.store import open_run
from covar_gen.evaluation import zero_shot

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "slurm.md").read_text(encoding="utf-8")
SCRIPTS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
SRUN = """\
import os, subprocess, sys
nodes, words = 2, sys.argv[1:]
per_node = 1
while words[0].startswith("--"):
    name, _, value = words.pop(0).partition("=")
    assert name in ("--kill-on-bad-exit", "--ntasks-per-node"), name
    per_node = int(value) if name == "--ntasks-per-node" else per_node
tasks = []
for number in range(nodes * per_node):
    own = {"SLURM_PROCID": number, "SLURM_NTASKS": nodes * per_node,
           "SLURM_LOCALID": number % per_node, "SLURM_NODEID": number // per_node,
           "SLURM_NNODES": nodes}
    texts = {name: str(value) for name, value in own.items()}
    tasks.append(subprocess.Popen(words, env={**os.environ, **texts}))
sys.exit(max(task.wait() for task in tasks))
"""
SAY = """\
import json, os, sys
names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
said = {"words": sys.argv[1:], "ranks": [os.environ.get(name) for name in names]}
with open(os.environ["SAID"], "a", encoding="utf-8") as file:
    file.write(json.dumps(said) + "\\n")
"""
HOSTS = "print('node-a\\nnode-b')"


def _program(path: Path, code: str) -> None:
    path.parent.mkdir(exist_ok=True)
    script = path.with_suffix(".py")
    script.write_text(code, encoding="utf-8")
    path.write_text(f'#!/bin/bash\nexec "{sys.executable}" "{script}" "$@"\n', encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """A folder with the programs of a cluster."""
    _program(tmp_path / "bin" / "srun", SRUN)
    _program(tmp_path / "bin" / "scontrol", HOSTS)
    return tmp_path


def _submit(script: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "SLURM_JOB_NODELIST": "node-[a-b]",
        **settings,
    }
    return subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        check=False,
    )


def _of_the_recipe(script: str, listed: str) -> str:
    """The job with the stages that `covar-gen init` listed, as the page says."""
    stages = re.findall(r"-m covar_gen\.(stage_\w+) --run \S+( --of \w+)?$", listed, re.MULTILINE)
    wanted = {f"{name}{of}" for name, of in stages}
    kept = []
    for line in script.splitlines():
        begun = re.match(r"(?:everywhere|python -m covar_gen\.)\s*(stage_\w+)( --of \w+)?", line)
        if not begun or f"{begun[1]}{begun[2] or ''}" in wanted:
            kept.append(line)
    assert sum("stage_" in line for line in kept) == len(stages)
    return "\n".join(kept)


def test_the_job_makes_a_whole_run_with_two_nodes(cluster: Path, recipe: Path) -> None:
    _program(cluster / "bin" / "python", f"import os, sys\n{_REPLACE}")
    text = recipe.read_text(encoding="utf-8").partition("[viewpoints]")[0]
    geometry = '[geometry]\ninpainter = "telea"\nvariants = ["hflip"]\n'
    recipe.write_text(text.replace("block = 4", "block = 1") + geometry, encoding="utf-8")
    begun = subprocess.run(
        [sys.executable, "-m", "covar_gen.cli", "init", str(recipe), "--run", "run"],
        capture_output=True,
        text=True,
        cwd=cluster,
        check=True,
    )
    done = _submit(_of_the_recipe(SCRIPTS[0], begun.stdout), cluster, RUN=str(cluster / "run"))
    assert done.returncode == 0, done.stderr
    run = open_run(cluster / "run")
    assert len(run.manifest(["key"])) > 0
    for step in flow.steps(run.recipe):
        if step.table != "manifest":
            assert not lacks(run, step.table)
    # Both processes of a stage had a share: each writes a log of its own.
    assert len(list((cluster / "run" / "logs").glob("backgrounds-*.log"))) == 2


_REPLACE = f"os.execv({sys.executable!r}, [{sys.executable!r}, *sys.argv[1:]])"


def test_a_job_whose_stage_fails_ends_there(cluster: Path) -> None:
    _program(cluster / "bin" / "python", f"import os, sys\n{_REPLACE}")
    done = _submit(SCRIPTS[0], cluster, RUN=str(cluster / "nowhere"))
    assert done.returncode == 2
    assert done.stderr.startswith("RunFolderError: ")
    assert done.stderr.count("RunFolderError") == 1


def _said(cluster: Path) -> list[dict[str, list[str]]]:
    return [json.loads(line) for line in (cluster / "said").read_text("utf-8").splitlines()]


def test_accelerate_is_started_once_per_node_with_what_it_knows(cluster: Path) -> None:
    launch = pytest.importorskip("accelerate.commands.launch")
    _program(cluster / "bin" / "accelerate", SAY)
    done = _submit(SCRIPTS[1], cluster, SAID=str(cluster / "said"))
    assert done.returncode == 0, done.stderr
    given = [
        launch.launch_command_parser().parse_args(each["words"][1:]) for each in _said(cluster)
    ]
    assert [each["words"][0] for each in _said(cluster)] == ["launch", "launch"]
    assert sorted(each.machine_rank for each in given) == [0, 1]
    for each in given:
        assert (each.num_machines, each.num_processes) == (2, 16)
        assert (each.main_process_ip, each.main_process_port) == ("node-a", 29500)
        assert (each.module, each.training_script) == (True, "covar_gen.stage_backgrounds")
        assert each.training_script_args == ["--run", "/shared/runs/mine"]


def test_an_evaluation_is_shared_by_the_tasks(cluster: Path) -> None:
    _program(cluster / "bin" / "python", SAY)
    done = _submit(SCRIPTS[2], cluster, SAID=str(cluster / "said"))
    assert done.returncode == 0, done.stderr
    said = sorted(_said(cluster), key=lambda each: each["ranks"])
    assert [each["ranks"] for each in said] == [["0", "2", "0"], ["1", "2", "0"]]
    for each in said:
        assert each["words"][:2] == ["-m", "covar_gen.evaluation.zero_shot"]
        given = zero_shot.arguments().parse_args(each["words"][2:])
        assert given.models == "paper"


def test_the_page_has_the_three_scripts_that_are_tested() -> None:
    assert len(SCRIPTS) == 3
