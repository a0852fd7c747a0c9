"""What LTC and I3D are shown of a chest CT, what they say of it, and where they look."""
