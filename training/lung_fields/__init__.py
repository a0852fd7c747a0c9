"""Lungs on X-ray: the recipe of the weights that come with the program."""
