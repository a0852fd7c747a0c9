"""Benchmarks of this node, run on the machine at hand: ``opacity-node bench``."""
