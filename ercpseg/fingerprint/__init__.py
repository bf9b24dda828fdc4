"""What the data are, measured: intensities, sizes, structures."""
