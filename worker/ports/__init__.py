"""What the core needs from outside, by story."""
