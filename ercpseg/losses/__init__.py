"""Losses: formulas as functions, and the module that adds them up as the plan says."""
