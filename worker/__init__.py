"""Answers BPMN external tasks with AI assistants, one conversation per process instance and assistant."""
