"""Everything that the worker serves over HTTP."""
