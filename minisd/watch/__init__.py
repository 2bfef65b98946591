"""Looking at a drawing from outside: its steps while it runs, and the heat maps of its words."""
