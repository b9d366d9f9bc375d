"""`assistant-worker lint`: what is wrong with models before they are deployed, without an engine, Redis or a key."""
