"""Augmentation: the plan's ranges as a batchgeneratorsv2 pipeline."""
