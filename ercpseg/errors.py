"""The exception tree, and the exit codes of the command line.

::

    ErcpsegError                    70  our fault unless a subclass says otherwise
    ├── UsageError                   2  the command or the call makes no sense
    ├── DataError                   65  the data as a whole cannot be used
    │   ├── DocumentError           65  a YAML or JSON document is not what its schema says
    │   └── InputRefused            65  one file or frame cannot be used; carries a stable ``code``
    ├── ResourceError               71  memory or another resource ran out
    ├── WorkspaceBusy               73  another run holds the workspace, or the folder to write to
    ├── StorageError                74  reading or writing failed
    └── Interrupted                 75  stopped on request; the same command goes on

Every error says what happened, where (file, key, line), what was expected and what to do. ``InputRefused`` never
stops a run: it becomes a row of the report, and the run ends with exit code 3.
"""

from __future__ import annotations

EXIT_DONE = 0
EXIT_USAGE = 2
EXIT_SOME_REFUSED = 3
EXIT_DATA = 65
EXIT_OUR_FAULT = 70
EXIT_RESOURCE = 71
EXIT_BUSY = 73
EXIT_IO = 74
EXIT_INTERRUPTED = 75

REFUSALS: dict[str, str] = {
    "unreadable": "the file could not be opened or decoded; export it again",
    "unknown-format": "the content is none of the formats understood (PNG, TIFF, JPEG, BMP, DICOM); convert it",
    "truncated": "the file holds fewer bytes than its header declares; copy or export it again",
    "surplus-data": "the file holds more pixel data than its header declares, so the frames cannot be told apart",
    "too-large": "there are more pixels than the limit or the memory allows; take a smaller frame or free memory",
    "colour": "the channels differ, so this is no grey X-ray frame; export it as grey",
    "unsupported-pixels": "the pixel format (bits, sign, photometric interpretation) is not understood; export 8 to 16 bit",
    "unsupported-syntax": "no decoder for this DICOM transfer syntax; convert it to an uncompressed or lossless one",
    "decoder-died": "the decoder crashed on this file, which may be damaged or hostile; export it again",
    "too-slow": "decoding took longer than the limit; export it again",
    "not-an-image": "the DICOM object holds no image",
    "constant": "all pixels are equal, so there is nothing to see",
    "no-frame": "an annotation without its frame; add the frame or delete the annotation",
    "no-annotation": "a frame without any annotation; annotate it or leave it out",
    "size-mismatch": "annotation and frame differ in size; export both from the same image",
    "duplicate": "two frames have the same name, so their annotations cannot be told apart; rename one",
    "unknown-structure": "the label is not among the dataset's structures; rename it or declare it",
    "bad-annotation": "the annotation file is not what its format says; open and save it again",
    "bad-label-value": "the label image holds a value that is not declared; correct it or declare the value",
    "ungrouped": "the descriptor's rule gives no value for this frame; correct the rule, the table or the name",
    "not-dicom": "a DICOM result belongs to a patient and a study, which only a DICOM file names; take another format",
    "incomplete-header": "the header lacks, or garbles, what a DICOM result must repeat; correct it at its origin",
    "not-this-format": "the picture is too large, too small or too long for this format; take another one",
    "stopped": "the run was stopped before this item; run the same command again",
}
"""Stable refusal codes, each with what it means and what to do."""


class ErcpsegError(Exception):
    """Base of all errors of this package.

    Parameters are keyword-only after the first: ``where`` (file, key, line), ``expected`` and ``todo`` (what to do).
    """

    exit_code = EXIT_OUR_FAULT

    def __init__(self, what: str, *, where: object = None, expected: str | None = None, todo: str | None = None):
        self.what = what
        self.where = None if where is None else str(where)
        self.expected = expected
        self.todo = todo
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """One line: what, where, what was expected, what to do.

        >>> UsageError("fold 7 does not exist", where="FOLD", expected="0 to 4 or all").message
        'fold 7 does not exist (at FOLD); expected 0 to 4 or all'
        """
        text = self.what
        if self.where:
            text += f" (at {self.where})"
        if self.expected:
            text += f"; expected {self.expected}"
        if self.todo:
            text += f"; {self.todo}"
        return text


class UsageError(ErcpsegError):
    """The command line or the call makes no sense; nothing was done."""

    exit_code = EXIT_USAGE


class DataError(ErcpsegError):
    """The data as a whole cannot be used."""

    exit_code = EXIT_DATA


class DocumentError(DataError):
    """A document does not follow its schema."""


class InputRefused(DataError):
    """One file or frame cannot be used. ``code`` is a key of :data:`REFUSALS`.

    ``detail`` may name numbers that were found; it must never quote text of the input (it may name a patient).
    """

    def __init__(self, code: str, detail: str = "", *, where: object = None):
        if code not in REFUSALS:
            raise ValueError(f"unknown refusal code {code!r}")
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}" if detail else code, where=where, todo=REFUSALS[code])

    @property
    def reason(self) -> str:
        """The sentence for reports: what was found, then what the code means and what to do."""
        return f"{self.detail}; {REFUSALS[self.code]}" if self.detail else REFUSALS[self.code]


class ResourceError(ErcpsegError):
    """Memory or another resource of the machine ran out."""

    exit_code = EXIT_RESOURCE


class WorkspaceBusy(ErcpsegError):
    """Another run holds the workspace, or the folder to write to."""

    exit_code = EXIT_BUSY


class StorageError(ErcpsegError):
    """Reading or writing a file failed."""

    exit_code = EXIT_IO


class Interrupted(ErcpsegError):
    """Stopped on request after the state was saved; the same command goes on."""

    exit_code = EXIT_INTERRUPTED


NO_MEMORY = ("can't allocate memory", "not enough memory", "failed to allocate memory", "out of memory")
"""What torch on a CPU (Linux, Windows), onnxruntime and CUDA say; the first three raise no class of their own for it."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory is too small, whichever library raised it.

    >>> out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory")), out_of_memory(RuntimeError("shape"))
    (True, False)
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    known = isinstance(error, RuntimeError) or type(error).__module__.startswith("onnxruntime.")
    return known and any(text in str(error).lower() for text in NO_MEMORY)
