"""`suppress batch FILE.csv`: one picture for each line of a file, with resume."""
