"""Foreign files in, canonical frames and bitmasks out. One bad file or frame never stops the rest.

Three entries: :func:`iter_frames` streams every frame of a file or folder, :func:`count_hint` says how many to expect,
:func:`import_dataset` brings frames with annotations into a workspace.
"""

from ercpseg.importers.dataset import import_dataset
from ercpseg.importers.frames import count_hint, iter_frames

__all__ = ["count_hint", "import_dataset", "iter_frames"]
