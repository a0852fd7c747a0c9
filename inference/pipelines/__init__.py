"""One file per published system, independent of each other."""
