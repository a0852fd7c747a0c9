"""Severity on CT: the recipe of LTC and I3D, on the CTs of a site."""
