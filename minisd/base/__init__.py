"""What all other folders use: errors, checks of values, lazy imports, files of pictures, safe writing of files."""
