"""The clock, and work beside the loop."""
