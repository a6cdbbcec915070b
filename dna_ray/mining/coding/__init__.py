"""Scales, transforms, dependent quantization and entropy coding: the parts of the kind `coded`."""
