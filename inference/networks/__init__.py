"""The networks, one file each. They are built by `inference.weights.loading.load_network` alone."""
