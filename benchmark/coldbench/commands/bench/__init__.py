"""``coldbench bench``: what a measurement costs beyond its network, against a floor and a plain implementation."""
