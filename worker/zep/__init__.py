"""Memory beyond an instance in Zep Cloud, by either of its APIs."""
