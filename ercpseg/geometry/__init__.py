"""Pure numpy on masks (y, x): crop, components, skeleton, distances, morphology, drawing. Nothing here opens a file."""
