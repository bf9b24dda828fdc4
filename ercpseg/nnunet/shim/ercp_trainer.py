"""For ``nnUNet_extTrainer``: lets ``nnUNetv2_train … -tr ErcpTrainer -p ErcpPlans`` find the trainer.

One line on purpose: a class defined here could not be pickled, since nnU-Net forgets this module after the search.
"""

from ercpseg.nnunet.trainer import ErcpTrainer  # noqa: F401
