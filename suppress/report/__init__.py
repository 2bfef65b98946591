"""What the command `suppress` leaves behind: pictures, a sheet, and a JSON file with settings and scores."""
