"""Whether `balaitous` computes what its published package computes, transform by transform."""
