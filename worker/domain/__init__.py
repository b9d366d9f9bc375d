"""What the worker talks about, as plain data, and how what others wrote is read. Standard library only."""
