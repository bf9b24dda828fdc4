"""What the data are, measured in one pass: intensities, sizes, structures."""
