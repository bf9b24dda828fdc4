"""THE SEAM: the only room that imports nnunetv2 (pinned >=2.8.1,<2.9; every hook used has a contract test).

What nnU-Net does for us: the experiment-planning API, the preprocessed store (blosc2), the training loop's hooks, and
the tools around them. What we put in: the plan, frame preparation, bitmask labels, losses, augmentation, checkpoints.
Everything that may vary stands in the plan under the key ``ercpseg`` of nnU-Net's plans; there is one trainer class.
"""

PLANS_NAME = "ErcpPlans"
CONFIGURATION = "2d"
PLAN_KEY = "ercpseg"
