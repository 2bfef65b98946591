"""Tools that several methods use, one equation each."""
