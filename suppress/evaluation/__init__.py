"""`suppress eval`: methods compared on the drawn world, for which a detector knows what is in a picture."""
