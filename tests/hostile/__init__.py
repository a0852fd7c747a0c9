"""What a port meets in a hospital's network: odd peers, broken ones, scanners of ports, and attacks."""
