"""What the command `suppress` writes: pictures, a sheet, and a JSON file with settings and scores."""
