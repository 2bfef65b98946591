"""Where a job begins: noise.py for pictures that are drawn, the other files for pictures that exist.

An inversion finds the noise from which the model draws a given picture. Each inversion gives a `Start`
(suppress/protocol.py), on which every method runs. catalogue.py has their names, invert.py is the way in.
"""
