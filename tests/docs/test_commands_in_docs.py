"""Commands of the pages run; recipes, code and links are such as the toolkit understands."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

from covar_gen.cli import app
from covar_gen.commands.run import init
from covar_gen.core import flow
from covar_gen.core.plan import lacks
from covar_gen.core.recipe import Recipe
from covar_gen.core.shipped import shipped
from covar_gen.core.store import open_run
from covar_gen.core.values import checked
from covar_gen.evaluation.error_sources import error_sources
from covar_gen.evaluation.preparing import Place
from covar_gen.evaluation.zero_shot import evaluate

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*(ROOT / "docs").rglob("*.md"), *(ROOT / n for n in ("README.md", "CONTRIBUTING.md"))]
)
OTHERS = {"pip", "git", "export", "hf"}
"""Programs that are not ours."""


def _blocks(language: str) -> list[tuple[str, str]]:
    """(page, text) of every fenced block of a language."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return [
        (page.relative_to(ROOT).as_posix(), block)
        for page in PAGES
        for block in fence.findall(page.read_text(encoding="utf-8"))
    ]


def _commands() -> list[tuple[str, str]]:
    return [
        (page, line.strip())
        for page, block in _blocks("bash")
        for line in block.splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]


def _inline() -> list[tuple[str, str]]:
    """Commands in running text; they may be cut short."""
    return [
        (page.relative_to(ROOT).as_posix(), command)
        for page in PAGES
        for command in re.findall(r"`covar-gen ([a-z-]+)[^`]*`", page.read_text(encoding="utf-8"))
    ]


def _understood(line: str) -> None:
    """Raises where a command or an option of it does not exist."""
    words = shlex.split(line)
    while "=" in words[0]:
        words.pop(0)
    program, *rest = words
    if program == "covar-gen":
        _covar(rest)
    elif program == "python" and rest[:1] == ["-m"]:
        _stage(rest[1], rest[2:])
    elif program == "accelerate":
        _accelerate(rest)
    elif program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert set(rest) <= set(targets)
    else:
        assert program in OTHERS, program


def _covar(words: list[str]) -> None:
    group: Any = get_command(app)
    name, *rest = words
    context = group.commands[name].make_context(name, list(rest))
    recipe = context.params.get("recipe")
    if recipe and not recipe.endswith(".toml") and recipe != "RECIPE":
        assert (shipped("manifests") / recipe / "recipe.toml").is_file(), recipe


class _Parsed(Exception):  # noqa: N818 - not an error
    pass


def _parser(module: str) -> argparse.ArgumentParser:
    """The parser of a stage's command line, taken before it parses."""
    assert re.fullmatch(r"covar_gen\.(stage_\w+|evaluation\.\w+|toys\.\w+)", module), module
    caught: list[argparse.ArgumentParser] = []

    def catch(parser: argparse.ArgumentParser, *_given: object) -> NoReturn:
        caught.append(parser)
        raise _Parsed

    main = importlib.import_module(module).main
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", catch)
        with pytest.raises(_Parsed):
            main()
    return caught[0]


def _stage(module: str, words: list[str]) -> None:
    _parser(module).parse_args(words)


def _accelerate(words: list[str]) -> None:
    launch = pytest.importorskip("accelerate.commands.launch")
    assert words[0] == "launch"
    given = launch.launch_command_parser().parse_args(words[1:])
    if given.module:
        _stage(given.training_script, given.training_script_args)
    else:
        script = ROOT / given.training_script
        assert script.is_file(), given.training_script
        module = script.relative_to(ROOT).with_suffix("")
        _stage(".".join(module.parts), given.training_script_args)


@pytest.mark.parametrize(("page", "line"), _commands())
def test_a_command_of_the_docs_is_understood(
    page: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        _understood(line)
    except SystemExit:
        pytest.fail(f"{page}: {capsys.readouterr().err}")


ALONE = {
    "covar-gen init proposed.toml --run runs/proposed": "asks a language model",
    "covar-gen run toy-world --run runs/toy-world --processes 2": "tests/test_demo.py runs it",
    "covar-gen errors results/photos --masks runs/photos-masks": "test_error_sources.py does it",
    "covar-gen errors results/demo --judge openai --judge-option model=gpt-4o-2024-08-06": (
        "asks a language model"
    ),
    "covar-gen judge results/toys --judges text_similarity,openai --judge-option "
    "openai.style=structured": "asks a language model",
    "covar-gen judge results/toys --import answers.jsonl --judge-option "
    "openai.model=gpt-4o-2024-08-06": "tests/commands/test_judge.py does it",
    **{
        f"covar-gen publish runs/demo --out release --repo me/cats{more}": (
            "tests/release/test_hub_end_to_end.py does it"
        )
        for more in ("", " --tag v1.0.1 --public", " --no-push")
    },
    **dict.fromkeys(
        (
            "covar-gen publish runs/demo --out release --recipe-only",
            "covar-gen rebuild release --photographs /data/imagenet/val --out runs/again",
            "covar-gen verify release",
        ),
        "tests/release/test_rebuilding.py and test_checking.py do it",
    ),
    "covar-gen masks ImageNetS919/validation --out runs/imagenet-s --segmenter grounded_sam": (
        "downloads weights"
    ),
    "covar-gen masks-iou --predicted runs/imagenet-s --reference "
    "ImageNetS919/validation-segmentation --out iou": "tests/commands/test_masks_iou.py does it",
    **{
        f"covar-gen masks photos --out runs/photos-sam{line}": "downloads weights"
        for line in (
            " --segmenter grounded_sam",
            " --segmenter grounded_sam --processes 8",
            "-b --segmenter grounded_sam --option detector=IDEA-Research/grounding-dino-base",
            "3 --segmenter sam3 --option threshold=0.4",
        )
    },
    **{
        f"covar-gen evaluate runs/demo --models {models}": "downloads weights"
        for models in (
            "paper --out results/paper",
            "ViT-B-16-quickgelu/openai --out results/demo",
            "ViT-B-16-quickgelu/openai,ViT-L-14/laion2b_s32b_b82k --out results/two",
        )
    },
}
"""Commands that are parsed only, and why. (`accelerate launch` has tests of its own.)"""
CODES = {"covar-gen doctor covar": 2}
"""Exit codes other than 0: the paper's models are not in this version."""


def _to_run() -> list[str]:
    """Every distinct command of ours in a fenced block or an example of the reference."""
    lines = [line for _, line in _commands()]
    for page in PAGES:
        lines += re.findall(r"^  Example: (covar-gen .+)$", page.read_text("utf-8"), re.MULTILINE)
    ours = re.compile(r"([A-Z_]+=\S+ )*(covar-gen|python -m covar_gen\.)")
    return sorted({_shared(line) for line in lines if ours.match(line) and line not in ALONE})


def _shared(line: str) -> str:
    """One form of commands that differ in a recipe's or a folder's name, or in a number."""
    line = line.replace("runs/demo", "runs/mine").replace("photos/ ", "photos ")
    line = line.replace("runs/toy-world", "runs/mine")
    line = re.sub(r"^(covar-gen report results)/\w+$", r"\1/toys", line)
    line = re.sub(r"--sample \d+", "--sample 8", line)
    line = re.sub(r"(?<!/)\bdemo\b", "mine.toml", line)
    return re.sub(r"(covar-gen (?:run|masks) .*?)(?: --processes \d+)?$", r"\1 --processes 2", line)


def _recipe_of_the_docs(name: str) -> str:
    return next(text for _, text in _blocks("toml") if text.startswith(f'name = "{name}"'))


def _photograph(path: Path, shade: int) -> None:
    """A bright disc on a dark ground, 64 x 48 pixels, another one for each shade."""
    y, x = np.mgrid[:48, :64]
    disc = (x - 32) ** 2 + (y - 24) ** 2 < 200
    image = np.where(disc[..., None], [230, 60 + shade, 40], [20, 50, 70 - shade % 40])
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((image + (x + 3 * y)[..., None] % 9).astype(np.uint8)).save(path)


def _annotation(path: Path) -> None:
    """The disc of `_photograph` as a plain mask."""
    y, x = np.mgrid[:48, :64]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((x - 32) ** 2 + (y - 24) ** 2 < 200).save(path)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, run_steps: Callable[..., None]) -> Path:
    """A folder such as the pages speak of: photographs, recipes and finished runs, all small."""
    folder = tmp_path_factory.mktemp("docs")
    for number, name in enumerate(("cat/tom", "cat/minka", "espresso/one", "espresso/two")):
        for parent in ("photos", "data/train"):
            _photograph(folder / parent / f"{name}.png", 20 * number)
        _annotation(folder / "annotations" / f"{name}.png")
    (folder / "boxes.csv").write_text("photograph,left,top,right,bottom\ncat/tom,0.2,0.1,0.8,0.9\n")
    mine = _recipe_of_the_docs("mine")
    assert "size = 512" in mine
    small = mine.replace("size = 512", "size = 48").replace("seed = 1 ", "seed = 1\nblock = 2 ")
    (folder / "mine.toml").write_text(small, encoding="utf-8")
    made = init(folder / "mine.toml", folder / "runs" / "mine", {})
    run_steps(made)
    evaluate(Place(str(made.root)), ["toy"], folder / "results" / "toys")
    for name in ("demo", "paper", "mine"):
        shutil.copytree(folder / "results" / "toys", folder / "results" / name)
    error_sources(folder / "results" / "toys", models=["toy:shortcut"], threads=2)
    shutil.copytree(folder / "runs", folder / "shared" / "runs")
    shutil.copytree(shipped("manifests") / "toy-models" / "honest", folder / "my-model")
    return folder


def _small(line: str) -> list[str]:
    """The words of a command; what several machines share lies in the prepared folder."""
    return [word.replace("/shared/", "shared/") for word in shlex.split(line)]


def _undo(run: Path, tables: list[str]) -> None:
    """Take tables and the manifest out of a finished run."""
    for table in tables:
        for part in ("tables", "images", "masks"):
            shutil.rmtree(run / part / table, ignore_errors=True)
    for name in ("manifest.parquet", "metadata.parquet"):
        (run / name).unlink()


def _run_in(folder: Path, line: str) -> tuple[subprocess.CompletedProcess[str], Path | None]:
    """Run a command after undoing what it is to do; with the run folder that it works on."""
    words = _small(line)
    settings = dict(words.pop(0).split("=", 1) for _ in range(len(words)) if "=" in words[0])
    ours = words[0] == "covar-gen"
    arguments = ["-m", "covar_gen.cli", *words[1:]] if ours else words[1:]
    run = folder / words[words.index("--run") + 1] if "--run" in words else None
    if words[1] == "masks-iou":
        shutil.copytree(folder / "runs" / "mine", folder / "runs" / "photos-masks")
    if words[1] == "evaluate":
        shutil.rmtree(folder / words[words.index("--out") + 1], ignore_errors=True)
    if words[1] == "init" and run is not None:
        shutil.rmtree(run)
    elif words[1] == "run" and run is not None:
        _undo(run, ["geometry"])
    elif words[0] == "python" and run is not None:
        table = _table(words)
        _undo(run, [table, *flow.after(table)])
    environment = {**os.environ, **settings, "HF_HOME": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        check=False,
    )
    return done, run


def _table(words: list[str]) -> str:
    """The table that a stage's command makes."""
    of = words[words.index("--of") + 1] if "--of" in words else None
    stage = words[2].removeprefix("covar_gen.stage_")
    return f"masks_{of}" if of else {"classes": "sources"}.get(stage, stage)


@pytest.mark.parametrize("line", _to_run())
def test_a_command_of_the_docs_runs(line: str, prepared: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(prepared, tmp_path / "folder")
    done, run = _run_in(folder, line)
    assert done.returncode == CODES.get(line, 0), done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    if " -m covar_gen.stage_" in line and run is not None:
        table = _table(_small(line.partition("python")[1] + line.partition("python")[2]))
        missing = lacks(open_run(run), table)
        # 4 photographs before 2 backgrounds in blocks of 2 rows: each of two processes has half.
        assert missing == (4 if "WORLD_SIZE=2" in line else 0)
    elif line.startswith("covar-gen run") and run is not None:
        assert len(open_run(run).manifest(["key"])) == 4 + 4 * 2 * (1 + 2 + 4 + 5)
    else:
        assert done.stdout


def test_only_commands_of_the_docs_are_left_out() -> None:
    there = {line for _, line in _commands()}
    assert set(ALONE) <= there
    assert set(CODES) <= set(_to_run())
    assert len(_to_run()) >= 15


@pytest.mark.parametrize(("page", "name"), sorted(set(_inline())))
def test_a_command_named_in_running_text_exists(page: str, name: str) -> None:
    group: Any = get_command(app)
    assert name in group.commands, page


@pytest.mark.parametrize(
    "line",
    [
        "covar-gen build demo",
        "covar-gen run demo --run runs/demo --procs 2",
        "covar-gen run no_such_recipe --run runs/demo",
        "python -m covar_gen.stage_masks --run RUN --of photographs",
        "python -m covar_gen.stage_blur --run RUN",
        "accelerate launch --no_such_option covar_gen/stage_masks.py --run RUN",
        "make coffee",
    ],
)
def test_a_command_that_does_not_exist_is_not_understood(line: str) -> None:
    with pytest.raises((Exception, SystemExit)):
        _understood(line)


@pytest.mark.parametrize(
    ("page", "text"), [(p, t) for p, t in _blocks("toml") if re.search("^name =", t, re.MULTILINE)]
)
def test_a_recipe_of_the_docs_is_one(page: str, text: str) -> None:
    checked(Recipe, tomllib.loads(text), page)


@pytest.mark.parametrize(("page", "text"), _blocks("python"))
def test_code_of_the_docs_compiles(page: str, text: str) -> None:
    compile(text, page, "exec")


def _links() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if not re.match(r"[a-z]+:", target):
                yield page.relative_to(ROOT).as_posix(), target


@pytest.mark.parametrize(("page", "target"), sorted(set(_links())))
def test_a_link_leads_somewhere(page: str, target: str) -> None:
    place, _, anchor = target.partition("#")
    path = (ROOT / page).parent / place if place else ROOT / page
    assert path.exists()
    if anchor:
        headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
        assert anchor in anchors


def test_every_page_is_in_the_sites_navigation() -> None:
    settings = (ROOT / "docs" / "site" / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r": (\S+\.md)$", settings, re.MULTILINE)
    there = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(listed) == sorted(there)
