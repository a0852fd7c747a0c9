"""One study through a whole node on one machine, for newcomers and for benchmarks."""
