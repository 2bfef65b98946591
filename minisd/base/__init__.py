"""What all other folders use: errors, checks of values, lazy imports, reading and safe writing of files."""
