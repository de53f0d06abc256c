"""The Croissant file of a release, made and validated by `mlcroissant`.

Every file stands in it with its address, size and SHA-256; every configuration with its columns
and their meanings, so that `mlcroissant` reads records from it.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from covar_gen.core.errors import ReleaseFolderError
from covar_gen.release.about import Author
from covar_gen.release.citation import bibtex
from covar_gen.release.facts import Facts
from covar_gen.release.licences import FILE as LICENCES
from covar_gen.release.schema import fields_of

if TYPE_CHECKING:
    import mlcroissant as mlc

FILE = "croissant.json"
VERSION: Any = "http://mlcommons.org/croissant/1.1"
PARQUET = "application/x-parquet"
REPOSITORY = "repository"
NO_CHECKSUM = "https://github.com/mlcommons/croissant/issues/80"
"""What stands for the checksum of a Git repository, which has none; as on the Hub."""


@dataclass(frozen=True)
class Listed:
    """A file of a release that holds rows.

    Attributes:
        config: the configuration that it belongs to.
        path: inside the release.
        size: bytes.
        sha256: of the file.
    """

    config: str
    path: str
    size: int
    sha256: str


def croissant_json(facts: Facts, files: Sequence[Listed], repo: str | None = None) -> str:
    """The text of croissant.json, valid by `mlcroissant`.

    Args:
        facts: of the release.
        files: all that hold rows.
        repo: USER/NAME on the Hub, where they will be; None: they are read from the folder in
            which croissant.json lies.

    Raises:
        ReleaseFolderError: `mlcroissant` finds a mistake in it.
    """
    import mlcroissant as mlc

    about = facts.about
    ctx: Any = mlc.Context(conforms_to=VERSION)
    url = f"https://huggingface.co/datasets/{repo}" if repo else about.homepage
    configs = list(dict.fromkeys(file.config for file in files))
    try:
        with warnings.catch_warnings(), _silent("absl"):
            # rdflib, on which mlcroissant stands, calls its own classes deprecated.
            warnings.simplefilter("ignore", DeprecationWarning)
            metadata = mlc.Metadata(
                ctx=ctx,
                name=facts.title,
                description=about.summary or f"Controlled image variations: {facts.recipe.name}",
                license=[about.licence_url or about.licence or LICENCES],
                url=url,
                version=about.version,
                cite_as=bibtex(facts, url),
                date_published=about.date and dt.datetime.combine(about.date, dt.time()),
                creators=[_creator(ctx, author) for author in about.authors],
                distribution=[*_distribution(ctx, files, configs, repo, about.version)],
                record_sets=[_records(ctx, config) for config in configs],
            )
            content = metadata.to_json()
            # Read again as others will read it: what was lost on the way is found here.
            mlc.Dataset(jsonld=content)
    except mlc.ValidationError as error:
        what = f"mlcroissant refuses it: {' '.join(str(error).split())}"
        mend = "Correct what it names in about.toml"
        raise ReleaseFolderError(what, where=FILE, mend=mend) from error
    return json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n"


@contextmanager
def _silent(logger: str) -> Iterator[None]:
    """What mlcroissant recommends, such as a date that nobody gave, is not news to the user."""
    log = logging.getLogger(logger)
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _creator(ctx: Any, author: Author) -> mlc.Person | mlc.Organization:
    import mlcroissant as mlc

    kind = mlc.Organization if author.given is None else mlc.Person
    return kind(ctx=ctx, name=author.name)


def _distribution(
    ctx: Any, files: Sequence[Listed], configs: Sequence[str], repo: str | None, version: str
) -> Iterator[mlc.FileObject | mlc.FileSet]:
    import mlcroissant as mlc

    if repo:
        yield mlc.FileObject(
            ctx=ctx,
            id=REPOSITORY,
            name=REPOSITORY,
            content_url=f"https://huggingface.co/datasets/{repo}",
            encoding_formats=["git+https"],
            sha256=NO_CHECKSUM,
        )
    for file in files:
        at = f"https://huggingface.co/datasets/{repo}/resolve/v{version}/" if repo else ""
        yield mlc.FileObject(
            ctx=ctx,
            id=file.path,
            name=file.path,
            content_url=f"{at}{file.path}",
            content_size=f"{file.size} B",
            encoding_formats=[PARQUET],
            sha256=file.sha256,
        )
    for config in configs:
        yield mlc.FileSet(
            ctx=ctx,
            id=f"files-of-{config}",
            name=f"files-of-{config}",
            contained_in=[REPOSITORY] if repo else [],
            encoding_formats=[PARQUET],
            includes=[f"data/{config}/*.parquet"],
        )


def _records(ctx: Any, config: str) -> mlc.RecordSet:
    import mlcroissant as mlc

    fields = [_field(ctx, config, field) for field in fields_of(config)]
    return mlc.RecordSet(ctx=ctx, id=config, name=config, key=[f"{config}/key"], fields=fields)


def _field(ctx: Any, config: str, field: pa.Field) -> mlc.Field:
    import mlcroissant as mlc

    image = pa.types.is_struct(field.type)
    several = pa.types.is_list(field.type)
    return mlc.Field(
        ctx=ctx,
        id=f"{config}/{field.name}",
        name=field.name,
        description=(field.metadata or {}).get(b"meaning", b"").decode(),
        data_types=[_data_type(field.type.value_type if several else field.type)],
        is_array=True if several else None,
        source=mlc.Source(
            ctx=ctx,
            file_set=f"files-of-{config}",
            extract=mlc.Extract(ctx=ctx, column=field.name),
            transforms=[mlc.Transform(ctx=ctx, json_path="bytes")] if image else [],
        ),
    )


def _data_type(kind: pa.DataType) -> Any:
    import mlcroissant as mlc

    if pa.types.is_struct(kind):
        return mlc.DataType.IMAGE_OBJECT
    if pa.types.is_integer(kind):
        return mlc.DataType.INTEGER
    return mlc.DataType.FLOAT if pa.types.is_floating(kind) else mlc.DataType.TEXT
