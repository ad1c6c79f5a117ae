"""How sure a difference between two orders is, and which order to choose."""
