"""Decisions as records: put together, computed, hashed and compared. Pure."""
