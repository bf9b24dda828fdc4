"""A folder for ``nnUNet_extTrainer``."""
