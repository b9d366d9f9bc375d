"""Whose account at the provider a key is of, and the provider's port with that question answered."""
