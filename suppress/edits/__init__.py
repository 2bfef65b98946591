"""Tools that several methods share, one equation each."""
