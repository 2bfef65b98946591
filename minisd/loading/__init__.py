"""From files to modules: folders in diffusers layout, CompVis' single files, pickles read as data, the hub."""
