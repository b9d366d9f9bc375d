"""The real engine, a real Valkey and the scripted model server, for the demo and the tests only."""
