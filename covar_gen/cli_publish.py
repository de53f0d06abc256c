"""The commands about releases; covar_gen/cli.py puts them on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def publish(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="a finished run")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="the release's folder")],
    form: Annotated[
        Literal["jpeg", "webp", "png"],
        typer.Option("--format", help="of images; png: the masters' own files, lossless"),
    ] = "jpeg",
    quality: Annotated[int, typer.Option(min=1, max=100, help="of JPEG and WebP")] = 95,
    shard_mb: Annotated[int, typer.Option(min=1, help="size of a file in megabytes, about")] = 400,
    about: Annotated[
        Path | None, typer.Option(help="about.toml: title, licence, authors, terms")
    ] = None,
    repo: Annotated[
        str | None, typer.Option(metavar="USER/NAME", help="where on the Hub it is to be")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="processes that share the files")] = 1,
) -> None:
    """Make a release of a run: files that `datasets` opens, images inside.

    Example: covar-gen publish runs/demo --out release
    """
    from covar_gen.commands.publish import publish as make
    from covar_gen.core.store import open_run
    from covar_gen.release.encoding import Encoder

    release = make(
        open_run(run),
        out,
        encoder=Encoder(form, quality),
        shard_mb=shard_mb,
        about=about,
        repo=repo,
        processes=processes,
    )
    size = sum(entry.bytes for entry in release.files)
    typer.echo(f"{out}: {len(release.files)} files, {size / 1e6:.1f} MB")
    for config in release.configs:
        typer.echo(f"  {config:<12} {release.rows(config):>7}")
    typer.echo(f'load it: datasets.load_dataset("{out}", "{release.subsets[-1]}", split="test")')
