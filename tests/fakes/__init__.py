"""Fakes of the core's ports: an engine of dicts, a scripted provider, Redis with the real Lua, a clock that jumps."""
