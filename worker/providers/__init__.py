"""Providers of conversations and answers."""

from worker.providers.openai import OpenAIModel

__all__ = ["OpenAIModel"]
