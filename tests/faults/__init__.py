"""Faults between real parts: workers as processes, proxies that spoil what they pass on, servers that come and go."""
