"""``datasets``: the descriptors that come with ercpseg, what one says, and whether a copy of the data is complete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ercpseg import errors
from ercpseg.cli.console import ConsoleProgress, say, table

if TYPE_CHECKING:
    from ercpseg.documents.descriptor import Descriptor
    from ercpseg.importers.descriptors import Problem

ACTIONS = ("list", "show", "check")
MOST_ROWS = 1000
"""Problems that are printed; a set of a hundred thousand frames with the wrong root has more than anybody reads."""


def datasets(
    action: Annotated[str, typer.Argument(metavar="list|show|check", help="What to do.")] = "list",
    dataset: Annotated[
        str | None,
        typer.Argument(
            metavar="DESCRIPTOR", help="show, check: a name of the list or a YAML file.", show_default=False
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            "--root",
            help="check: folder that the descriptor's paths start from. Default: the folder of the descriptor file; for a "
            "name of the list it must be given.",
            show_default=False,
        ),
    ] = None,
    sums: Annotated[
        Path | None,
        typer.Option(
            "--sums",
            help="check: also write a list of all hashes to this file, as sha256sum does, and print the manifest that "
            "belongs into the descriptor.",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Descriptors of datasets: list those that come with ercpseg, show one, or check a copy of the data against one.

    A descriptor is a YAML file that says where frames and annotations lie, what labels mean, how frames group by patient,
    which part of a published split they are in, and what a complete copy holds. It comes without the data: show says how
    to get a copy. check compares files and hashes, looks at every frame and its annotation, counts frames, patients,
    structures and splits, and tells all differences at once; it ends with 65 when there are any.
    """
    if action not in ACTIONS:
        todo = f"try ercpseg datasets show {action[:64]}" if dataset is None else None
        raise errors.UsageError(f"{action[:64]!r} is nothing to do", expected=", ".join(ACTIONS), todo=todo)
    if action == "list":
        if dataset is not None:
            raise errors.UsageError("list takes no descriptor", expected=f"ercpseg datasets show {dataset[:64]}")
        return _list()
    if dataset is None:
        raise errors.UsageError(f"{action} what?", where="DESCRIPTOR", expected="a name of the list or a YAML file")
    return _show(dataset) if action == "show" else _check(dataset, root, sums)


def _list() -> int:
    from ercpseg.pipeline.datasets import list_descriptors

    rows = [
        [d.name, d.title, "" if d.expected.frames is None else str(d.expected.frames), d.licence, _first(d.access)]
        for d in list_descriptors()
    ]
    table(["name", "title", "frames", "licence", "access"], rows)
    say("more on one: ercpseg datasets show NAME")
    return errors.EXIT_DONE


def _show(dataset: str) -> int:
    from ercpseg.importers.descriptors import load_descriptor

    descriptor = load_descriptor(dataset)
    table(["key", "value"], [list(row) for row in _rows("", _shown(descriptor))], title=descriptor.title)
    shipped = "" if Path(dataset).suffix else " --root DIR"
    say(f"compare a copy with it: ercpseg datasets check {dataset}{shipped}")
    if descriptor.annotations:
        say(f"plan a training on it: ercpseg plan-and-preprocess {dataset}{shipped}")
    return errors.EXIT_DONE


def _check(dataset: str, root: Path | None, sums: Path | None) -> int:
    from ercpseg.importers.descriptors import read_descriptor
    from ercpseg.pipeline.datasets import check, root_of, write_sums
    from ercpseg.storage.resources import find_resource

    path, progress = find_resource("datasets", dataset), ConsoleProgress()
    descriptor, problems = read_descriptor(path)
    if descriptor is None:
        return _tell(f"{path.name} is no descriptor", problems)
    folder = root_of(dataset, root)
    problems = check(descriptor, folder, progress=progress)
    if sums is not None:
        manifest = write_sums(descriptor, folder, sums, progress=progress)
        say(f"wrote {sums}; in the descriptor it is")
        for line in ("manifest:", f"  paths: [{', '.join(manifest.paths)}]", f"  files: {manifest.files}"):
            say(line)
        for line in (f"  bytes: {manifest.bytes}", f"  sha256: {manifest.sha256}"):
            say(line)
    if problems:
        return _tell(f"{descriptor.name} differs from its descriptor", problems)
    say(f"{descriptor.name} is what its descriptor says: {_summary(descriptor)}")
    return errors.EXIT_DONE


def _tell(title: str, problems: list[Problem]) -> int:
    rows = [
        [p.file if p.line is None else f"{p.file}, line {p.line}", p.key, p.expected, p.found]
        for p in problems[:MOST_ROWS]
    ]
    table(["file", "key", "expected", "found"], rows, title=title)
    if len(problems) > MOST_ROWS:
        say(f"and {len(problems) - MOST_ROWS} more")
    say(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}")
    return errors.EXIT_DATA


def _summary(descriptor: Descriptor) -> str:
    expected = descriptor.expected
    counts = [(expected.frames, "frames"), (expected.patients, "patients"), (len(descriptor.files) or None, "files")]
    counts += [(descriptor.manifest.files if descriptor.manifest else None, "files by one hash")]
    said = [f"{count} {what}" for count, what in counts if count is not None]
    return ", ".join(said) or "it expects no counts and no hashes, so little could be compared"


def _first(text: str) -> str:
    """The first sentence.

    >>> _first("Make it. It takes half a minute.")
    'Make it'
    """
    return text.partition(". ")[0].removesuffix(".")


def _shown(descriptor: Descriptor) -> dict[str, Any]:
    """What the descriptor says, and all about its frames; of many files only how many they are."""
    said = descriptor.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    said["frames"] = descriptor.frames.model_dump(mode="json")
    if descriptor.files:
        size = sum(file.bytes or 0 for file in descriptor.files)
        said["files"] = f"{len(descriptor.files)} files with their hashes, {size:,} bytes"
    keys = (field.alias or name for name, field in type(descriptor).model_fields.items())
    return {key: said[key] for key in keys if key in said}


def _rows(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Keys with dots, and their values; what is empty is left out."""
    if isinstance(value, dict) and value:
        for name, below in value.items():
            yield from _rows(f"{key}.{name}" if key else str(name), below)
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        for number, below in enumerate(value):
            yield from _rows(f"{key}.{number}", below)
    elif isinstance(value, list) and key.startswith("labels."):
        yield key, ", ".join(map(str, value)) or "(its own name only)"
    elif isinstance(value, list) and value:
        yield key, ("\n" if key in ("cites", "notes") else ", ").join(map(str, value))
    elif isinstance(value, bool):
        yield key, "yes" if value else "no"
    elif value not in (None, "", [], {}):
        yield key, str(value)
