"""Pictures and files that go along with what is said, as OpenAI's own client sends and reads them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError
from openai.types.conversations import Message
from openai.types.responses import (
    ResponseInputFile,
    ResponseInputFileParam,
    ResponseInputImage,
    ResponseInputImageParam,
    ResponseInputText,
)

from tests.contract.provider_client import MODEL, ask
from worker.demo.model import ModelServer

URL = "data:image/png;base64,iVBORw=="
PICTURE: ResponseInputImageParam = {"type": "input_image", "detail": "auto", "image_url": URL}
PAPER: ResponseInputFileParam = {
    "type": "input_file",
    "filename": "offer.pdf",
    "file_data": "data:application/pdf;base64,JVBERg==",
}


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


def said(*parts: Any) -> Any:
    return [{"role": "user", "content": [{"type": "input_text", "text": "What is seen?"}, *parts]}]


async def test_they_stand_on_the_conversation_and_cost_tokens(openai: AsyncOpenAI) -> None:
    conversation = (await openai.conversations.create()).id
    plain = await ask(openai, "What is seen?")
    answer = await openai.responses.create(model=MODEL, conversation=conversation, input=said(PICTURE, PAPER))
    page = await openai.conversations.items.list(conversation, order="asc")
    shown = await openai.conversations.items.list(conversation, order="asc", include=["message.input_image.image_url"])

    assert plain.usage
    assert answer.usage
    assert answer.usage.input_tokens == plain.usage.input_tokens + 2000
    question, pictured = page.data[0], shown.data[0]
    assert isinstance(question, Message)
    assert isinstance(pictured, Message)
    text, picture, paper = question.content
    assert isinstance(text, ResponseInputText)
    assert isinstance(picture, ResponseInputImage)
    assert isinstance(paper, ResponseInputFile)
    assert (picture.detail, picture.image_url, paper.filename) == ("auto", None, "offer.pdf")
    assert isinstance(pictured.content[1], ResponseInputImage)
    assert pictured.content[1].image_url == URL


async def test_chat_takes_them_by_other_names(openai: AsyncOpenAI) -> None:
    content: Any = [
        {"type": "text", "text": "What is seen?"},
        {"type": "image_url", "image_url": {"url": URL}},
        {"type": "file", "file": {"filename": "offer.pdf", "file_data": PAPER["file_data"]}},
    ]
    answer = await openai.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])

    assert answer.usage
    assert answer.usage.prompt_tokens > 2000


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "input_image", "detail": "auto"}, "image_url"),
        ({"type": "input_image", "image_url": "plan.png"}, "image_url"),
        ({"type": "input_image", "image_url": "data:application/pdf;base64,JVBERg=="}, "image_url"),
        ({"type": "input_image", "image_url": "data:image/png;base64,="}, "image_url"),
        ({"type": "input_file", "filename": "a.pdf"}, "file_data"),
        ({"type": "input_file", "file_data": "JVBERg=="}, "file_data"),
    ],
)
async def test_what_openai_refuses_is_refused(openai: AsyncOpenAI, part: Any, param: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        await openai.responses.create(model=MODEL, input=said(part))

    assert refused.value.param == f"input[0].content[1].{param}"
