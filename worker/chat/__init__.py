"""What persons ask assistants: accepted by `desk`, answered by `asking`. Knows no tasks."""
