"""Synthetic patients with known truth, for the demo, the tests and the training recipes. Holds nothing of a person."""
