"""The commands about releases; covar_gen/cli.py puts them on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def publish(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="a finished run")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="the release's folder")],
    form: Annotated[
        Literal["jpeg", "webp", "png"],
        typer.Option("--format", help="of images; png: the masters' own files, lossless"),
    ] = "jpeg",
    quality: Annotated[int, typer.Option(min=1, max=100, help="of JPEG and WebP")] = 95,
    *,
    recipe_only: Annotated[
        bool,
        typer.Option("--recipe-only", help="no images: patches against the user's photographs"),
    ] = False,
    shard_mb: Annotated[int, typer.Option(min=1, help="size of a file in megabytes, about")] = 400,
    about: Annotated[
        Path | None, typer.Option(help="about.toml: title, licence, authors, terms")
    ] = None,
    repo: Annotated[
        str | None, typer.Option(metavar="USER/NAME", help="push it there, to the Hugging Face Hub")
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="all may see a repository that is made; else nobody")
    ] = False,
    tag: Annotated[
        str | None, typer.Option(help="of the pushed revision; left out: v and the version")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="also where the repository holds something else")
    ] = False,
    push: Annotated[
        bool, typer.Option("--push/--no-push", help="or only write in the card where it is to be")
    ] = True,
    processes: Annotated[int, typer.Option(min=1, help="processes that share the files")] = 1,
) -> None:
    """Make a release of a run: files that `datasets` opens, images inside. Push it with --repo.

    Example: covar-gen publish runs/demo --out release
    """
    from covar_gen.commands.publish import publish as make
    from covar_gen.core.store import open_run
    from covar_gen.release.encoding import Encoder

    if repo is not None and push and not recipe_only:
        _check_terms(repo, about)
    _ask_ahead(repo, tag, push=push, told=public or replace or tag is not None)
    release = make(
        open_run(run),
        out,
        encoder=Encoder("patch") if recipe_only else Encoder(form, quality),
        shard_mb=shard_mb,
        about=about,
        repo=repo,
        processes=processes,
    )
    size = sum(entry.bytes for entry in release.files)
    typer.echo(f"{out}: {len(release.files)} files, {size / 1e6:.1f} MB")
    for config in release.configs:
        typer.echo(f"  {config:<12} {release.rows(config):>7}")
    config = release.subsets[-1]
    if repo is not None and push:
        _push(out, repo, config, private=not public, tag=tag, replace=replace)
    else:
        typer.echo(f'load it: datasets.load_dataset("{out}", "{config}", split="test")')


def _ask_ahead(repo: str | None, tag: str | None, *, push: bool, told: bool) -> None:
    """What stands against a push, before images are encoded, which may take hours."""
    from covar_gen.core.errors import HubError
    from covar_gen.release import pushing

    if repo is None:
        if told:
            what = "--public, --tag and --replace are for the Hub, and no repository is named"
            raise HubError(what, mend="Add --repo USER/NAME")
        return
    pushing.check_names(repo, tag)
    if push:
        pushing.login(repo, say=typer.echo)


def _check_terms(repo: str, about: Path | None) -> None:
    """See, before images are encoded, that a release of images may be pushed."""
    from covar_gen.release.about import read_about
    from covar_gen.release.pushing import restricted

    if read_about(about).photographs.redistributable is False:
        raise restricted(repo)


def _push(out: Path, repo: str, config: str, **given: Any) -> None:
    """Push a release, and say where it is."""
    from covar_gen.release import pushing

    there = pushing.push(out, repo, say=typer.echo, **given)
    seen = "private" if there.private else "public"
    tag = f"{there.tag} at " if there.tag else ""
    typer.echo(f"{there.url}: {seen}, {tag}commit {there.commit[:12]}")
    typer.echo(f"load it: {there.load(config)}")


def rebuild(
    release: Annotated[Path, typer.Argument(metavar="DIR", help="a release folder")],
    out: Annotated[Path, typer.Option(metavar="RUN", help="the run's folder")],
    photographs: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="the photographs, in any layout, for patches"),
    ] = None,
) -> None:
    """Make the run of a release again: every image and mask, byte for byte.

    Example: covar-gen rebuild release --photographs /data/imagenet/val --out runs/again
    """
    from covar_gen.commands.rebuild import rebuild as make
    from covar_gen.core.launch import progress

    made = make(release, out, photographs, report=progress("rebuild"))
    typer.echo(f"{out}: {made.images} images and {made.masks} masks, each as the release says")
    typer.echo(f"next: covar-gen evaluate {out} --models M --out DIR")


def verify(release: Path, sample: int, tolerance: int) -> None:
    """Say what `covar-gen verify` finds in a release.

    Raises:
        typer.Exit: with code 2, if there are problems.
    """
    from covar_gen.commands.verify_release import verify_release

    found, made = verify_release(release, sample=sample, tolerance=tolerance)
    problems = [*found.problems, *made.problems]
    for place, problem in problems:
        typer.echo(f"{place}: {problem}", err=True)
    for reason in (*found.left_out, *made.left_out):
        typer.echo(f"not checked: {reason}", err=True)
    typer.echo(
        f"{found.files} files and {found.images} images and masks checked, {made.remade} rows made"
        f" again (largest difference {made.largest} grey levels), {found.complete} of"
        f" {found.groups} groups complete, {len(problems)} problems"
    )
    if problems:
        typer.echo("to mend: download or publish the release again", err=True)
        raise typer.Exit(2)
