"""What stands in files beside the settings: assistants and providers, each read and checked as a whole at start."""
