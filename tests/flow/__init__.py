"""The worker inside the test's process, on a real engine and a real Redis, with the scripted model server."""
