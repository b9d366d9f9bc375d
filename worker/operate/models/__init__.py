"""What can be told of models without running them: the one table of rules, and what they look at. Pure."""
