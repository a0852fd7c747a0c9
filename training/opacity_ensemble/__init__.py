"""Opacity on X-ray, the ensemble: the recipe of its ConvNeXt, and data sets for nnU-Net."""
