"""What the worker costs beside a bare loop, on one real engine: `make bench`."""
