"""Figures and one self-contained HTML page about a dataset, its plan, its training and its scores."""
