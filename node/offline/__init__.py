"""A pipeline on a folder of DICOM files, without a server: what `opacity-node run` does."""
