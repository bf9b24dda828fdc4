"""What lies where, in millimetres: patients drawn from a domain, their moments, and the maps of what the beam crosses.

The patient's frame has its origin on the beam's axis, y towards the feet and x towards the patient's left, as a frame
shows it that is neither turned nor mirrored. :class:`~ercpseg.synthesis.scene.view.View` takes it to pixels.
"""
