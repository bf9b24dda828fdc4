"""Inference: a warm predictor, its stream, and folder prediction as a loop over the stream."""
