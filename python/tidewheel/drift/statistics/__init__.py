"""Statistics of two samples: arrays in, records out."""
