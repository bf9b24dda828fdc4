"""Rules on frames: polarity, normalisation, field, working size."""

from __future__ import annotations

import math

from ercpseg.documents.plan import NetworkValues
from ercpseg.fingerprint.concerns import is_device
from ercpseg.planner.budget import CPU_DEFAULT_S
from ercpseg.planner.families import Traits, traits_of
from ercpseg.planner.rule import Advice, Choice, Context
from ercpseg.planner.sizes import features_for, largest_working_size, parse_shapes, patch_for
from ercpseg.structures import StructureSet
