"""Commands for those who run the worker."""
