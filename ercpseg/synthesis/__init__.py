"""A physics-based synthesiser of ERCP frames with overlapping truth, so that everything runs without a patient image.

``scene`` says what lies where (in reference pixels, a 512-pixel picture), ``anatomy`` and ``devices`` turn that into
optical depths and masks, ``physics`` turns optical depth into a grey frame, ``dataset`` writes folders.
"""
