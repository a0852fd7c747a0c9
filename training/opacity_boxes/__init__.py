"""The recipe of `opacity-boxes`: a folder of SIIM-FISABIO-RSNA's layout -> weights for its slot."""
