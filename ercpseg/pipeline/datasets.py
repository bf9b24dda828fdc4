"""Descriptors at work: which there are, where their data lie, and whether a copy is what its descriptor says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ercpseg.documents.descriptor import Descriptor, ManifestSpec
from ercpseg.errors import DataError, DocumentError, StorageError, UsageError
from ercpseg.importers.descriptors import Problem, load_descriptor
from ercpseg.importers.sums import Sum, files_below, hash_files, manifest_of, read_sums, sums_lines
from ercpseg.progress import SILENT, Progress
from ercpseg.storage.atomic import write_bytes
from ercpseg.storage.resources import find_resource, resource_names

if TYPE_CHECKING:
    from ercpseg.importers.dataset import Seen

Survey = Callable[[Descriptor, Path, Progress], "Iterable[Seen]"]
"""How frames are looked at: yields what would become of each, with the structures that show in it."""


def list_descriptors() -> list[Descriptor]:
    """The descriptors that come with ercpseg, by name."""
    return [load_descriptor(name) for name in resource_names("datasets")]


def root_of(name_or_file: str | Path, root: Path | None) -> Path:
    """The folder that a descriptor's paths start from: ``root``, else the one that holds the descriptor file.

    Raises
    ------
    UsageError
        for a descriptor that comes with ercpseg, whose data lie elsewhere, or when there is no such folder.
    """
    if root is None and str(name_or_file) in resource_names("datasets"):
        raise UsageError(
            "this descriptor comes with ercpseg, the data do not",
            where="--root",
            expected="the folder that holds your copy",
            todo=f"see how to get one: ercpseg datasets show {name_or_file}",
        )
    folder = find_resource("datasets", str(name_or_file)).resolve().parent if root is None else root
    if not folder.is_dir():
        raise UsageError("no such folder", where=f"--root {folder}")
    return folder


def check(
    descriptor: Descriptor, root: Path, *, progress: Progress = SILENT, survey: Survey | None = None
) -> list[Problem]:
    """Everything in which the data below ``root`` differ from their descriptor; empty when they do not.

    Compared are the files with their hashes, the manifest, every frame (it decodes, has its annotation, and every rule of the
    descriptor gives something for it), and the expected counts. Nothing stops at the first problem.

    Raises
    ------
    UsageError
        when there is no such folder.
    """
    if not root.is_dir():
        raise UsageError("no such folder", where=root)
    if survey is None:
        from ercpseg.importers.dataset import survey as dry_run

        survey = dry_run
    problems = [*_files(descriptor, root, progress)]
    if descriptor.manifest is not None:
        problems += _manifest(descriptor.manifest, root, progress)
    try:
        seen = list(survey(descriptor, root, progress))
    except DataError as error:
        expected = error.expected or "data that the descriptor's rules can be applied to"
        return [*problems, Problem(error.where or "", "", expected, error.what)]
    return [*problems, *_frames(descriptor, seen), *_counts(descriptor, seen), *_patients(descriptor, seen)]


def write_sums(descriptor: Descriptor, root: Path, path: Path, *, progress: Progress = SILENT) -> ManifestSpec:
    """Hash the files of a dataset, write their lines to ``path`` as ``sha256sum`` does, and give the manifest of them.

    These are the files that the manifest covers, else the folders of frames and annotations and the tables.

    Raises
    ------
    DataError
        when there are none, or one cannot be read.
    """
    paths = list(descriptor.manifest.paths) if descriptor.manifest else _places(descriptor)
    sums = hash_files(root, files_below(root, paths), progress=progress)
    if not sums:
        raise DataError("there are no files to hash", where=root, expected=f"files below {', '.join(paths)}")
    if any(not one.sha256 for one in sums.values()):
        raise DataError(f"{sum(not one.sha256 for one in sums.values())} files cannot be read", where=root)
    write_bytes(path, sums_lines(sums.values()))
    return manifest_of(list(sums.values()), paths)


def _places(descriptor: Descriptor) -> list[str]:
    """Where frames, annotations and tables are, each once, nothing that lies below another."""
    rules = (getattr(descriptor.grouping, name) for name in ("patient", "study", "series", "order", "date", "split"))
    wanted = {descriptor.frames.folder, *(spec.path or descriptor.frames.folder for spec in descriptor.annotations)}
    wanted |= {rule.table for rule in rules if rule is not None and rule.table is not None}
    inside = {one for one in wanted for other in wanted if one != other and (not other or one.startswith(other + "/"))}
    return sorted(wanted - inside)


def _files(descriptor: Descriptor, root: Path, progress: Progress) -> Iterator[Problem]:
    """Files that are not there, or not as they were."""
    sums = hash_files(root, (file.path for file in descriptor.files), progress=progress) if descriptor.files else {}
    if descriptor.files and not sums:
        yield Problem("", "files", f"{len(descriptor.files)} files below the root", "none of them: is this the root?")
        return
    for file in descriptor.files:
        have = sums.get(file.path)
        if have is not None and file.bytes not in (None, have.bytes):
            yield Problem(file.path, "files.bytes", str(file.bytes), str(have.bytes))
        elif have is None or have.sha256 != file.sha256:
            yield _differs(file.path, "files", file.sha256, have)


def _differs(path: str, key: str, expected: str, have: Sum | None) -> Problem:
    if have is None:
        return Problem(path, key, "a file", "nothing")
    return Problem(path, f"{key}.sha256", expected, have.sha256 or "a file that cannot be read")


def _manifest(manifest: ManifestSpec, root: Path, progress: Progress) -> Iterator[Problem]:
    """In what the files below the root differ from the manifest; which do, where the lines are there to compare with."""
    there = [path for path in files_below(root, manifest.paths) if path != manifest.sums]
    sums = hash_files(root, there, progress=progress)
    have = manifest_of(list(sums.values()), manifest.paths) if sums else None
    if have is None:
        yield Problem("", "manifest", f"{manifest.files} files below the root", "none of them: is this the root?")
        return
    if have.sha256 == manifest.sha256:
        return
    known = _authentic(manifest, root)
    if isinstance(known, Problem):
        for key in ("files", "bytes"):
            if getattr(have, key) != getattr(manifest, key):
                yield Problem("", f"manifest.{key}", str(getattr(manifest, key)), str(getattr(have, key)))
        yield Problem("", "manifest.sha256", manifest.sha256, have.sha256)
        yield known
        return
    for path in sorted({*known, *sums}):
        if path not in known:
            yield Problem(path, "manifest", "no such file", "a file")
        elif path not in sums or sums[path].sha256 != known[path]:
            yield _differs(path, "manifest", known[path], sums.get(path))


def _authentic(manifest: ManifestSpec, root: Path) -> Mapping[str, str] | Problem:
    """Path → hash by the file of lines, if it is the very one that the manifest hashes; else what to do about it."""
    try:
        listed = read_sums(root / manifest.sums)
        if manifest_of(listed, manifest.paths).sha256 == manifest.sha256:
            return {one.path: one.sha256 for one in listed}
        found = "another list"
    except StorageError:
        found = "nothing, so which files differ cannot be said"
    except DocumentError:
        found = "something else"
    return Problem(manifest.sums, "manifest.sums", "the list of hashes of a complete copy", found)


def _frames(descriptor: Descriptor, seen: Iterable[Seen]) -> Iterator[Problem]:
    """Files and frames that cannot be used, unless that many are known."""
    refused = [record for record, _ in seen if record.status == "refused"]
    if len(refused) == descriptor.expected.refused:
        return
    if descriptor.expected.refused:
        yield Problem("", "expected.refused", str(descriptor.expected.refused), str(len(refused)))
    for record in refused:
        where = record.source if record.index is None else f"{record.source}, frame {record.index}"
        yield Problem(where, record.code or "", "a usable frame or annotation", record.reason or "")


def _counts(descriptor: Descriptor, seen: Iterable[Seen]) -> Iterator[Problem]:
    """Counts that are not those expected."""
    expected = descriptor.expected
    used = [one for one in seen if one[0].status == "used"]
    patients = {record.patient for record, _ in used} - {None}
    if expected.frames not in (None, len(used)):
        yield Problem("", "expected.frames", f"{expected.frames} frames", str(len(used)))
    if expected.patients not in (None, len(patients)):
        yield Problem("", "expected.patients", f"{expected.patients} patients", str(len(patients)))
    shown = Counter(name for _, shown in used for name in shown)
    yield from _compared("structures", expected.structures, shown)
    if descriptor.grouping.hold_out_from is None:
        yield from _compared("splits", expected.splits, Counter(record.split or "none" for record, _ in used))


def _compared(key: str, wanted: Mapping[Any, int], counted: Mapping[str, int]) -> Iterator[Problem]:
    if not wanted:
        return
    for name in sorted({*wanted, *counted}):
        if counted.get(name, 0) != wanted.get(name, 0):
            yield Problem("", f"expected.{key}.{name}", f"{wanted.get(name, 0)} frames", str(counted.get(name, 0)))


def _patients(descriptor: Descriptor, seen: Iterable[Seen]) -> Iterator[Problem]:
    """Patients in two parts of a split, by a file of theirs: their keys are never shown."""
    first: dict[str, tuple[str, str]] = {}
    told: set[str] = set()
    for record, _ in seen:
        if record.patient is None or record.split is None or record.patient in told:
            continue
        split, source = first.setdefault(record.patient, (record.split, record.source))
        if split != record.split:
            told.add(record.patient)
            found = f"{record.split} here, {split} in {source}"
            yield Problem(record.source, "grouping.split", "all frames of a patient in one part", found)
