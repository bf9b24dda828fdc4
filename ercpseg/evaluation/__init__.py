"""Scores of predictions against references: metrics on masks, their means over patients, and the folder comparison.

Every metric takes ``reference`` before ``prediction``, keyword-only, both bool (y, x) at the frame's native size.
Empty masks follow one table (:mod:`ercpseg.evaluation.empty`); definitions are in ``docs/reference/evaluation.md``.
"""
