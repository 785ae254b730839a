"""voxgate: decides whether a quantized voice model may ship to an edge board."""

__version__ = "0.1.0"
