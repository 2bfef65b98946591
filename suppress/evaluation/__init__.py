"""`suppress eval`: methods compared on the drawn world, where a detector knows what is in a picture."""
