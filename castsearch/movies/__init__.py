"""Own footage: a film and some portraits in, who appears when out."""
