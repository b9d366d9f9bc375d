"""Providers of conversations and answers."""

from worker.providers.chat import ChatModel
from worker.providers.client import Client
from worker.providers.decisions import DecisionsModel, SystemOneModel
from worker.providers.embeddings import Embeddings
from worker.providers.file_stores import OpenAIFiles
from worker.providers.openai import OpenAIProvider
from worker.providers.responses import ResponsesModel

__all__ = [
    "ChatModel",
    "Client",
    "DecisionsModel",
    "Embeddings",
    "OpenAIFiles",
    "OpenAIProvider",
    "ResponsesModel",
    "SystemOneModel",
]
