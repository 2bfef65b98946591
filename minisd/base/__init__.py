"""What every room uses: errors, checks of values, lazy imports, safe writing of files."""
