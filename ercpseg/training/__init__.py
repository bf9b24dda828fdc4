"""Training: run one fold of a plan, measure what a step costs, and make a model of the trained folds."""
