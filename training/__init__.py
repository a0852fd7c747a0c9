"""How the weights that this project ships are made, from images whose licences allow it. No part of the node."""
