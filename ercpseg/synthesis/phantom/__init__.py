"""The simple phantom: tubes and noise on a soft background, drawn quickly; the domain ``phantom-simple`` and the demo.

``scene`` says what lies where (in reference pixels, a 512-pixel picture), ``anatomy`` and ``devices`` turn that into
optical depths and masks, ``physics`` turns optical depth into a grey frame. Its frames are frozen: the demo's figures
rest on them. The scene that looks like ERCP is in ``ercpseg.synthesis.scene``.
"""
