"""Texts as trees of harmless elements."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.web.page.shapes import DEEPEST_DATA, LONGEST_MARKDOWN, TAGS, Node, Tree, answer, plain


def flat(tree: Tree) -> str:
    """Write a tree as tags, to be compared."""
    return "".join(each if isinstance(each, str) else f"<{each.tag}>{flat(each.children)}</>" for each in tree)


def nodes(tree: Tree) -> Iterator[Node]:
    for each in tree:
        if isinstance(each, Node):
            yield each
            yield from nodes(each.children)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a **b** *c* ~~d~~ `e`", "<p>a <strong>b</> <em>c</> <s>d</> <code>e</></>"),
        ("- a\n- b\n  - c", "<ul><li>a</><li>b<ul><li>c</></></></>"),
        ("> a\n\n---", "<blockquote><p>a</></><hr></>"),
        ("```js\nx < 1\n```", "<pre><code>x < 1\n</></>"),
        ("a  \nb\nc", "<p>a<br></>b\nc</>"),
        ("|a|\n|-|\n|b|", "<table><thead><tr><th>a</></></><tbody><tr><td>b</></></></>"),
        ("# a\n### b\n###### c\n", "<h4>a</><h5>b</><h6>c</>"),
        ("## a", "<h4>a</>"),
    ],
)
def test_markdown_becomes_elements(text: str, shown: str) -> None:
    assert flat(answer(text)) == shown


def test_a_list_begins_with_its_number() -> None:
    assert answer("7. a\n8. b") == [Node("ol", [Node("li", ["a"]), Node("li", ["b"])], 7)]


@pytest.mark.parametrize(
    "text",
    [
        "![a](data:image/png;base64,x)",
        "[a](javascript:alert(1))",
        "[a](//evil.example)",
        "[a](/instances)",
        "[a](ftp://evil.example)",
        "[a](data:text/html,x)",
        "[a](https://bank.example@evil.example)",
        "<mailto:a@b.example>",
        "<a@b.example>",
        "<script>alert(1)</script>",
        "a <img src=x onerror=alert(1)> b",
        "[a][1]",
        "https://evil.example",
    ],
)
def test_links_images_and_html_stay_the_text_that_they_are(text: str) -> None:
    assert flat(answer(text)) == f"<p>{text}</>"


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("[a](https://example.org/x?y#z)", Node("a", ["a"], href="https://example.org/x?y#z")),
        ("<http://example.org>", Node("a", ["http://example.org"], href="http://example.org")),
        ('[a](https://example.org "title")', Node("a", ["title: ", "a"], href="https://example.org")),
        ("[](https://example.org)", Node("a", [], href="https://example.org")),
    ],
)
def test_a_link_to_the_web_says_where_it_leads(text: str, link: Node) -> None:
    assert answer(text) == [Node("p", [link])]


def test_an_image_is_a_link_to_it_and_is_not_loaded() -> None:
    link = Node("a", ["a"], href="https://evil.example/x.png")
    assert answer("![a](https://evil.example/x.png)") == [Node("p", ["!", link])]


@pytest.mark.parametrize(
    ("value", "is_link"),
    [
        ("https://example.org/a", True),
        ("see https://example.org/a", False),
        ("javascript:alert(1)", False),
        ("https://a@example.org", False),
        ("https://example.org/\u202e", False),
        ("https://example.org/" + "a" * 2048, False),
    ],
)
def test_data_that_is_an_address_of_the_web_is_a_link(value: str, is_link: bool) -> None:
    [shown] = [each for each in nodes(answer(json.dumps([value]))) if each.tag == "li"]
    assert shown.children == ([Node("a", [value], href=value)] if is_link else [value])


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ('[{"a": 1.5, "b": "x"}, {"a": null, "b": "2"}, {"a": -3, "b": "y"}]', ["a", "1.5", "—", "-3"]),
        ('[{"a": 1.5, "b": "x"}, {"b": "2"}, {"a": -3, "b": "y"}]', ["a", "1.5", "-3"]),
        ("|a|b|\n|-|-|\n|1,000 EUR|x|\n|-2 %|y|", ["a", "1,000 EUR", "-2 %"]),
        ("|a|b|\n|-|-:|\n|x|y|", ["b", "y"]),
    ],
)
def test_columns_of_numbers_stand_on_the_right(text: str, right: list[str]) -> None:
    assert [flat(each.children) for each in nodes(answer(text)) if each.right and each.children] == right


def test_what_a_link_would_refer_to_stays_visible() -> None:
    assert "https://evil.example" in flat(answer("[a]\n\n[a]: https://evil.example"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"a": 1, "b": "x"}', "<table><tbody><tr><th>a</><td>1</></><tr><th>b</><td>x</></></></>"),
        ('["a", null, true]', "<ul><li>a</><li>—</><li>yes</></>"),
        (
            '[{"a": 1}, {"b": false}]',
            "<table><thead><tr><th>a</><th>b</></></><tbody><tr><td>1</><td></></><tr><td></><td>no</></></></>",
        ),
        ('```json\n["a"]\n```', "<ul><li>a</></>"),
        ("[]", "<ul></>"),
        ('{"a": "<b>"}', "<table><tbody><tr><th>a</><td><b></></></></>"),
    ],
)
def test_json_becomes_tables_and_lists(text: str, shown: str) -> None:
    assert flat(answer(text)) == shown


def test_numbers_stay_as_they_were_written() -> None:
    text = '{"a": 1.10, "b": 18446744073709551617, "c": 1e400, "d": NaN}'
    for written in ("1.10", "18446744073709551617", "1e400", "NaN"):
        assert f"<td>{written}</>" in flat(answer(text))


def test_a_field_that_comes_twice_is_shown_twice() -> None:
    assert flat(answer('{"a": 1, "a": 2}')).count("<th>a</>") == 2


def test_objects_of_many_fields_become_a_table_each() -> None:
    wide = {f"field_{number}": number for number in range(20)}
    assert flat(answer(json.dumps([wide, wide]))).count("<table>") == 2


def test_what_lies_too_deep_is_written_as_json() -> None:
    value: object = {"deep": [1, {"x": "y"}]}
    for _ in range(DEEPEST_DATA + 1):
        value = {"a": value}
    assert '<td>{"deep": ["1", {"x": "y"}]}</>' in flat(answer(json.dumps(value)))


@pytest.mark.parametrize("text", ["[" * 5000 + "]" * 5000, '{"a":', "[1] and more", "{a}"])
def test_what_is_no_json_is_a_text(text: str) -> None:
    assert flat(answer(text)) == f"<p>{text}</>"


@pytest.mark.parametrize("depth", [10, 250, 450, 900, 5000])
@pytest.mark.parametrize("form", ["[", "[]", '{"a":', '{"a":1}', "> ", "- ", "*", "`", "1."])
def test_what_is_nested_deeper_than_anybody_reads_is_shown_all_the_same(form: str, depth: int) -> None:
    opening, closing = (form[:-2], form[-2:]) if form == '{"a":1}' else (form[:1], form[1:])
    text = opening * depth + closing * depth if form in ("[]", '{"a":1}') else form * depth

    assert flat(answer(text))
    assert flat(answer(f"```json\n{text}\n```"))


@pytest.mark.parametrize("number", ["1e400", "-1e999", "9" * 400, "9" * 5000, "NaN"])
def test_numbers_that_nobody_can_hold_are_shown_as_written(number: str) -> None:
    assert flat(answer(f"[{number}]")) == f"<ul><li>{number}</></>"


def test_what_is_too_long_is_shown_as_it_is() -> None:
    text = "*a* " * LONGEST_MARKDOWN
    assert answer(text) == plain(text) == [Node("pre", [text])]


MARKS = st.text(st.sampled_from("*_`~[]()<>!#|-+.:\\/\"'&;{}1a \n\t"), max_size=60)


@given(st.one_of(st.text(max_size=60), MARKS))
def test_no_text_makes_another_element(text: str) -> None:
    assert {node.tag for node in nodes(answer(text))} <= TAGS


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=9) | st.integers(),
        lambda each: st.lists(each) | st.dictionaries(st.text(max_size=9), each),
    )
)
def test_no_data_makes_another_element(value: object) -> None:
    assert {node.tag for node in nodes(answer(json.dumps(value)))} <= TAGS
