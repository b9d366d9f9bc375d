"""Clients of others, measured beside us."""
