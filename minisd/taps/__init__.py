"""Ready-made taps and how to combine them. The protocol is minisd/tap.py."""
