"""The ways in which a job can begin. Each file makes a `Start` (suppress/protocol.py).

noise.py is for pictures that are drawn. The other files are inversions, for pictures that exist: an inversion finds
the noise from which the model draws a given picture. catalogue.py has their names, invert.py has `suppress.invert`,
cache.py keeps on disk what they found.
"""
