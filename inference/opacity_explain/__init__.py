"""The steps of `opacity-explain` around its networks: lungs, decisions, maps, why; pure functions of arrays."""
