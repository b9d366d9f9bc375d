"""The scripted model server: OpenAI's conversations and responses without a key, and a control interface for tests.

It offers its clients no call that OpenAI lacks; what lies under /control is for faults and assertions only.
"""

from worker.demo.model.server import ModelServer

__all__ = ["ModelServer"]
