"""Foreign folders in, canonical frames and bitmasks out. One bad file or frame never stops the rest."""
