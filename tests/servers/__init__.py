"""Servers that only tests need: PostgreSQL, and Valkey as a cluster or under Sentinel."""
