"""The commands about judges of errors; covar_gen/cli.py puts them on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def judge(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="an evaluation folder")],
    judges: Annotated[
        str | None,
        typer.Option(
            metavar="J[,J...]",
            help="see: covar-gen list judges; those that need no key, if left out",
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--judge-option", metavar="NAME.KEY=VALUE", help="an option of a judge; repeatable"
        ),
    ] = None,
    verdicts: Annotated[
        Path | None, typer.Option(help="file of verdicts, JSONL; the one in the cache if left out")
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(help="write the questions not answered yet, for a batch endpoint; ask nobody"),
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option("--import", help="read the answers of a batch endpoint; ask nobody"),
    ] = None,
) -> None:
    """Ask several judges about the classes that errors confuse, and compare what they say.

    Example: covar-gen judge results/toys
    """
    from covar_gen.commands import judge as judging
    from covar_gen.core.changes import changes
    from covar_gen.core.errors import RecipeError

    options = changes(option)
    if export and answers:
        what = "--export and --import together: the answers come after the questions"
        raise RecipeError(what, mend="Give one of them")
    if export:
        count = judging.write_questions(
            folder, export, judges=judges, options=options, verdicts=verdicts
        )
        typer.echo(f"{count} questions in {export}")
        typer.echo("next: the same command with --import ANSWERS.jsonl in place of --export")
        return
    if answers:
        came, asked = judging.read_answers(
            folder, answers, judges=judges, options=options, verdicts=verdicts
        )
        typer.echo(judging.came_line(came))
        typer.echo(asked.line())
    else:
        judging.judge(folder, judges=judges, options=options, verdicts=verdicts, say=typer.echo)
    for line in judging.agreement_lines(folder):
        typer.echo(line)
    typer.echo(f"next: covar-gen report {folder}")
