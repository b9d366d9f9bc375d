"""Providers of conversations and answers."""

from worker.providers.openai import OpenAIProvider

__all__ = ["OpenAIProvider"]
