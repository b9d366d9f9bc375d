"""Providers of conversations and answers."""

from worker.models.openai import OpenAIModel

__all__ = ["OpenAIModel"]
