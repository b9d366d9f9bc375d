"""Reads documents, each in a process of its own.

What is in them is anybody's, and parsers can be made to take hours or gigabytes, or to crash: so nothing of it is
parsed in the worker. `reader.py` starts the process and judges how it ended, `__main__.py` is what runs there.
"""

from worker.documents.reader import DocumentReader
from worker.documents.shelf import FileShelf

__all__ = ["DocumentReader", "FileShelf"]
