import hashlib
import os
from datetime import timedelta
from pathlib import Path

import pytest

from worker.domain.documents import LARGEST
from worker.domain.providers import ProviderSpec
from worker.domain.threads import Assistant
from worker.errors import Permanent, UnknownAssistant
from worker.specs.assistants import Specs, load

GOOD = '---\nname: {name}\nversion: "{version}"\nmodel: gpt-test\n---\nYou analyse decisions.\n'

JUDGE = ProviderSpec(api="decisions")


def put(directory: Path, name: str, version: str = "1.0", file: str | None = None) -> Path:
    path = directory / (file or f"{name}@{version}.md")
    path.write_text(GOOD.format(name=name, version=version), encoding="utf-8")
    return path


def mistakes(directory: Path) -> list[str]:
    """What load says, without the folder's path."""
    with pytest.raises(Permanent) as caught:
        load(directory)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{directory}/") for line in lines)
    return [line.removeprefix(f"{directory}/") for line in lines]


def wrong(directory: Path, front: str, body: str = "Do it.") -> list[str]:
    """The mistakes of one file, analyst.md, whose front matter begins in line 2."""
    (directory / "analyst.md").write_text(f"---\n{front}\n---\n{body}\n", encoding="utf-8")
    return [line.removeprefix("analyst.md:") for line in mistakes(directory)]


def test_a_spec_becomes_an_assistant(tmp_path: Path) -> None:
    (tmp_path / "analyst.md").write_text(
        '---\nname: analyst\nversion: "1.0"\nmodel: gpt-test\nprovider: openai\ntemperature: 0.2\n'
        "max_output_tokens: 2000\ntimeout_seconds: 90\nbackground: true\n---\n\n# Rôle\n\nWeigh.\n\n---\n\nThen say.\n",
        encoding="utf-8",
    )
    assert load(tmp_path).assistants == (
        Assistant(
            name="analyst",
            version="1.0",
            model="gpt-test",
            provider="openai",
            instructions="# Rôle\n\nWeigh.\n\n---\n\nThen say.",
            timeout=timedelta(seconds=90),
            temperature=0.2,
            max_output_tokens=2000,
            background=True,
        ),
    )


def test_what_a_spec_leaves_out_has_defaults(tmp_path: Path) -> None:
    put(tmp_path, "analyst")
    (spec,) = load(tmp_path).assistants
    assert (spec.provider, spec.timeout) == ("openai", timedelta(seconds=120))
    assert (spec.temperature, spec.max_output_tokens, spec.output_schema) == (None, None, None)
    assert not spec.background


def test_windows_line_ends_and_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    text = GOOD.format(name="analyst", version="1.0").replace("\n", "\r\n")
    (tmp_path / "analyst.md").write_bytes(text.encode("utf-8-sig"))
    (spec,) = load(tmp_path).assistants
    assert (spec.name, spec.instructions) == ("analyst", "You analyse decisions.")


def test_the_highest_version_is_found_where_none_is_named(tmp_path: Path) -> None:
    for version in ("1.9", "1.10", "1.2", "1.10-draft"):
        put(tmp_path, "analyst", version)
    put(tmp_path, "critic", "7")
    specs = load(tmp_path)
    assert specs.find("analyst", None).version == "1.10"
    assert specs.find("analyst", "1.9").version == "1.9"
    assert specs.find("critic", None).name == "critic"


@pytest.mark.parametrize(
    "rising",
    [
        ["1.9", "1.10"],
        ["1", "1.0", "1.0.1", "2"],
        ["2.0-draft", "2.0-rc1", "2.0-rc2", "2.0-rc10", "2.0"],
        ["v9", "v10"],
        ["2026-01-02", "2026-01-10", "2026-11-01"],
    ],
)
def test_versions_rise_as_people_count(tmp_path: Path, rising: list[str]) -> None:
    for version in rising:
        put(tmp_path, "analyst", version)
    assert [spec.version for spec in load(tmp_path).assistants] == rising


def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    put(tmp_path, "critic")
    put(tmp_path, "analyst")
    with pytest.raises(UnknownAssistant) as caught:
        load(tmp_path).find("analist", None)
    assert str(caught.value) == ("no assistant is called 'analist'; did you mean 'analyst'? Known: analyst, critic")


def test_an_unknown_version_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    put(tmp_path, "analyst", "1.9")
    put(tmp_path, "analyst", "1.10")
    with pytest.raises(UnknownAssistant) as caught:
        load(tmp_path).find("analyst", "42")
    assert str(caught.value) == "the assistant 'analyst' has no version '42'. Known: 1.9, 1.10"


def test_a_hostile_name_stays_short_and_on_one_line() -> None:
    many = [Assistant(f"a{n:02}", "1", "m", "openai", "i", timedelta(1)) for n in range(30)]
    with pytest.raises(UnknownAssistant) as caught:
        Specs(tuple(many)).find("x\n" * 2000, None)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith("Known: a00, a01, a02, a03, a04, a05, a06, a07, a08, a09, a10, a11 and 18 more")
    assert len(text) < 400


def test_a_mounted_config_map_is_read_once(tmp_path: Path) -> None:
    # As the kubelet lays it out: files are links into ..data, a link to a folder with the time in its name.
    revision = tmp_path / "..2026_01_01"
    revision.mkdir()
    put(revision, "analyst")
    (tmp_path / "..data").symlink_to(revision.name)
    (tmp_path / "analyst@1.0.md").symlink_to("..data/analyst@1.0.md")
    assert len(load(tmp_path).assistants) == 1


def test_hidden_files_folders_and_other_files_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "analyst")
    (tmp_path / ".draft.md").write_text("no front matter")
    (tmp_path / "schema.json").write_text("{}")
    (tmp_path / "notes.md").mkdir()
    assert [spec.name for spec in load(tmp_path).assistants] == ["analyst"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        Permanent, match=r"^ASSISTANTS_DIR=.*nowhere: there is no such folder; .*`assistant-worker init DIR`"
    ):
        load(tmp_path / "nowhere")


def test_a_folder_without_specs_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match=r"^ASSISTANTS_DIR=.*: holds no spec; put one there, such as analyst\.md$"):
        load(tmp_path)


def test_all_mistakes_of_all_files_are_named_at_once(tmp_path: Path) -> None:
    put(tmp_path, "fine")
    put(tmp_path, "fine", file="fine.md")
    (tmp_path / "a.md").write_text("---\nname: b\nversion: 1.10\ncolour: red\nname: a\n---\n\n")
    (tmp_path / "c.md").write_text("You are an analyst.\n")
    keys = ["name", "version", "model", "provider", "temperature", "max_output_tokens", "timeout_seconds", "background"]
    keys += ["fallback", "after_fallback", "output_schema", "memory"]
    known = f"Known: {', '.join(keys)} and 1 more"
    assert mistakes(tmp_path) == [
        "a.md:1: model: is missing; add a line model: …",
        "a.md:2: name: is 'b', but 'a' in the name of the file; make them agree",
        'a.md:3: version: must be text; put it in quotes: version: "1.10"',
        f"a.md:4: colour: is no part of a spec. {known}",
        "a.md:5: name: line 2 says it already; keep one",
        "a.md:6: has no instructions; write them below the front matter",
        "c.md:1: has no front matter; begin with a line --- and close it with another",
        "fine@1.0.md:3: version: fine.md holds fine 1.0 already; raise one or remove one",
    ]


NAMED = 'name: analyst\nversion: "1"\nmodel: m\n'


@pytest.mark.parametrize(
    ("front", "said"),
    [
        (NAMED + "temperature: warm", "5: temperature: must be a valid number"),
        (NAMED + "temperature: '0.5'", "5: temperature: must be a valid number"),
        (NAMED + "temperature: 2.1", "5: temperature: must be less than or equal to 2"),
        (NAMED + "temperature: .nan", "5: temperature: must be a finite number"),
        (NAMED + "temperature: 2026-99-99", "5: temperature: must be a valid number"),
        (NAMED + "max_output_tokens: 1.5", "5: max_output_tokens: must be a valid integer"),
        (NAMED + "max_output_tokens: yes", "5: max_output_tokens: must be a valid integer"),
        (NAMED + "\n\ntimeout_seconds: 0", "7: timeout_seconds: must be greater than 0"),
        (NAMED + "timeout_seconds: [1]", "5: timeout_seconds: must be a valid number"),
        (NAMED + "background: 1", "5: background: must be a valid boolean"),
        (NAMED + "background: 'true'", "5: background: must be a valid boolean"),
        (NAMED + "provider: opnai", "5: provider: 'opnai' is unknown; did you mean 'openai'? Known: openai"),
        ('name: analyst\nversion: "1"\nmodel: ""', "4: model: must have at least 1 character"),
        ('name: analyst\nversion: "1"\nmodel:', "4: model: must be a valid string"),
        ('name: analyst\nversion: "1"\nmodel: {a: b}', "4: model: must be a valid string"),
        (
            'name: analyst\nversion: "1 a"\nmodel: m',
            "3: version: must be letters, digits, '.', '_' or '-', beginning with a letter or digit",
        ),
        (
            "name: analyst\nversion: 2026-01-02\nmodel: m",
            '3: version: must be text; put it in quotes: version: "2026-01-02"',
        ),
        (
            "name: analyst\nversion: 2026-99-99\nmodel: m",
            '3: version: must be text; put it in quotes: version: "2026-99-99"',
        ),
        ("", "2: the front matter must be lines such as name: analyst"),
        ("- name", "2: the front matter must be lines such as name: analyst"),
        (
            NAMED + "temperature: 1: 2",
            "5: is no YAML: mapping values are not allowed here; put texts that hold : or # in quotes",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, front: str, said: str) -> None:
    assert wrong(tmp_path, front) == [said]


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("none.json", "'none.json' beside the spec cannot be read: No such file"),
        ("analyst.md", "'analyst.md' is no JSON: Expecting value"),
        ("{type: text}", "is no usable JSON Schema: at $.type: 'text' is not valid"),
        ("{$ref: 'http://localhost/y'}", "is no usable JSON Schema: it refers to 'http://localhost/y'"),
        ("5", "is no usable JSON Schema: it is no JSON object"),
    ],
)
def test_a_schema_that_is_none_is_named_with_its_line(tmp_path: Path, schema: str, said: str) -> None:
    assert wrong(tmp_path, f"{NAMED}output_schema: {schema}")[0].startswith(f"5: output_schema: {said}")


def aliases(count: int) -> str:
    """An output_schema in which each line stands for the one before twice, so many aliases in all."""
    lines = ["  a0: &a0 {type: string}"]
    lines += [f"  a{n}: &a{n} {{anyOf: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, count // 2 + 1)]
    return "output_schema:\n" + "\n".join(lines)


@pytest.mark.parametrize(
    ("front", "said"),
    [
        (aliases(58), "17: has more than 20 aliases, such as *name; write out what they stand for"),
        ("output_schema: " + "[" * 3000 + "]" * 3000, "1: the front matter is nested too deep"),
        (
            "output_schema: {not: &a {not: *a}}",
            "5: is no YAML: found unconstructable recursive node; put texts that hold : or # in quotes",
        ),
    ],
)
def test_a_schema_that_stands_for_more_than_a_machine_holds_is_refused_soon(
    tmp_path: Path, front: str, said: str
) -> None:
    assert wrong(tmp_path, NAMED + front) == [said]


def test_a_few_aliases_save_typing(tmp_path: Path) -> None:
    text = "{$defs: {t: &t {type: string}}, properties: {a: *t, b: *t}}"
    (tmp_path / "analyst.md").write_text(f"---\n{NAMED}output_schema: {text}\n---\nYou advise.\n")
    [found] = load(tmp_path).assistants
    assert found.output_schema is not None
    assert found.output_schema["properties"]["b"] == {"type": "string"}


def test_a_schema_stands_in_the_spec_or_beside_it(tmp_path: Path) -> None:
    (tmp_path / "advice.schema.json").write_text('{"type": "object"}')
    for name, said in {"inside": "{type: object}", "beside": "advice.schema.json"}.items():
        text = f'---\nname: {name}\nversion: "1"\nmodel: m\noutput_schema: {said}\n---\nYou advise.\n'
        (tmp_path / f"{name}.md").write_text(text)

    assert [each.output_schema for each in load(tmp_path).assistants] == [{"type": "object"}] * 2


def test_names_whose_process_variables_would_be_one_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "risk.analyst")
    put(tmp_path, "risk_analyst")

    with pytest.raises(Permanent, match=r"its process variable would be that of risk\.analyst"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("front", "line"),
    [
        (NAMED + "temperature: !!python/object/apply:os.getcwd []", 5),
        (NAMED + "temperature: *nothing", 5),
        (NAMED + "temperature: \x07", 5),
        ("name: [", 3),
    ],
)
def test_what_is_no_plain_yaml_is_refused_in_its_line(tmp_path: Path, front: str, line: int) -> None:
    (said,) = wrong(tmp_path, front)
    assert said.startswith(f"{line}: is no YAML: ")


@pytest.mark.parametrize(
    ("said", "mistake"),
    [
        ("background: !!bool maybe", "background: must be a valid boolean"),
        ("temperature: !!timestamp x", "temperature: must be a valid number"),
        ("max_output_tokens: !!int ''", "max_output_tokens: must be a valid integer"),
        (f"temperature: {':'.join(['1'] * 400)}.0", "temperature: must be a valid number"),
        ("output_schema: {type: !!bool maybe}", "output_schema: is no usable JSON Schema"),
        ("output_schema: {!!bool maybe: 1}", "output_schema: is no usable JSON Schema"),
    ],
)
def test_what_is_not_what_its_tag_says_is_refused_in_its_line(said: str, mistake: str, tmp_path: Path) -> None:
    (found,) = wrong(tmp_path, NAMED + said)
    assert found.startswith(f"5: {mistake}")


def test_merge_keys_and_nested_keys_are_no_way_around_the_check(tmp_path: Path) -> None:
    said = wrong(tmp_path, NAMED + "<<: {temperature: 9}\n? [a]\n: b")
    assert [line.split(";")[0].split(". ")[0] for line in said] == [
        "5: <<: is no part of a spec",
        "7: ?: is no part of a spec",
    ]


def test_front_matter_must_end(tmp_path: Path) -> None:
    (tmp_path / "analyst.md").write_text("---\nname: analyst\n")
    assert mistakes(tmp_path) == ["analyst.md:1: the front matter has no end; close it with a line ---"]


def test_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "analyst.md").write_bytes(
        GOOD.format(name="analyst", version="1").encode() + "Prüfe.".encode("latin-1")
    )
    assert mistakes(tmp_path) == ["analyst.md:7: is not UTF-8 text; save it as UTF-8"]


def test_a_dangling_link_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "analyst.md").symlink_to("gone.md")
    assert mistakes(tmp_path) == ["analyst.md:1: cannot be read: No such file or directory"]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("critic.md", "2: name: is 'analyst', but 'critic' in the name of the file; make them agree"),
        ("analyst@1.1.md", "3: version: is '1.0', but '1.1' in the name of the file; make them agree"),
        ("analyst@.md", "3: version: is '1.0', but '' in the name of the file; make them agree"),
    ],
)
def test_the_file_is_called_what_it_holds(tmp_path: Path, file: str, said: str) -> None:
    put(tmp_path, "analyst", file=file)
    assert mistakes(tmp_path) == [f"{file}:{said}"]


def test_known_providers_are_what_the_caller_has(tmp_path: Path) -> None:
    path = put(tmp_path, "analyst")
    others = {"other": ProviderSpec()}
    with pytest.raises(
        Permanent, match=r"analyst@1.0.md:4: provider: is missing, and none is called openai; .*: other"
    ):
        load(tmp_path, providers=others)
    path.write_text(path.read_text().replace("model:", "provider: openai\nmodel:"))
    with pytest.raises(Permanent, match=r"analyst@1.0.md:4: provider: 'openai' is unknown. Known: other"):
        load(tmp_path, providers=others)
    assert load(tmp_path, providers={"other": ProviderSpec(), "openai": ProviderSpec()}).assistants


def test_a_fallback_names_providers_and_models(tmp_path: Path) -> None:
    path = put(tmp_path, "analyst")
    text = path.read_text()
    path.write_text(text.replace("model:", "fallback: [local/a/b, other/c]\nafter_fallback: stay\nmodel:"))
    [assistant] = load(tmp_path, providers=dict.fromkeys(["local", "openai", "other"], ProviderSpec())).assistants

    assert assistant.fallback == (("local", "a/b"), ("other", "c"))
    assert assistant.stays


def test_who_answers_decision_questions_may_fall_back_to_anybody(tmp_path: Path) -> None:
    path = put(tmp_path, "analyst")
    path.write_text(path.read_text().replace("model:", "provider: judge\nfallback: [openai/a, other/b]\nmodel:"))
    providers = {"judge": JUDGE, "other": ProviderSpec(api="systemone"), "openai": ProviderSpec()}
    assert load(tmp_path, providers=providers).assistants


@pytest.mark.parametrize(
    ("fallback", "said"),
    [
        ("[locl/a]", "fallback: 'locl' is unknown; did you mean 'local'?"),
        ("[local]", "fallback: 'local' names no model"),
        ("local/a", "fallback: "),
        ("[7]", "fallback: "),
        ("[openai/other-model]", "fallback: openai is away when this one's turn comes"),
        ("[local/a, local/b]", "fallback: local is away when this one's turn comes"),
        ("[judge/a]", "fallback: judge answers decision questions alone"),
    ],
)
def test_a_fallback_that_cannot_be_is_named_with_its_line(tmp_path: Path, fallback: str, said: str) -> None:
    path = put(tmp_path, "analyst")
    path.write_text(path.read_text().replace("---\n", f"---\nfallback: {fallback}\n", 1))
    with pytest.raises(Permanent) as caught:
        load(tmp_path, providers={"local": ProviderSpec(), "openai": ProviderSpec(), "judge": JUDGE})

    assert f":2: {said}" in str(caught.value)


def test_nothing_runs_in_the_background_where_nothing_is_kept(tmp_path: Path) -> None:
    path = put(tmp_path, "analyst")
    path.write_text(path.read_text().replace("model:", "background: true\nmodel:"))
    with pytest.raises(Permanent, match="background: openai keeps nothing"):
        load(tmp_path, providers={"openai": ProviderSpec(api="chat")})
    assert load(tmp_path, providers={"openai": ProviderSpec()}).assistants


def test_files_are_named_beside_the_spec_and_known_by_their_digests(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text("charger,9")
    (tmp_path / "analyst.md").write_text(f"---\n{NAMED}files:\n  - prices.csv\n---\nWeigh.\n")
    specs = load(tmp_path)
    [file] = specs.assistants[0].files
    assert (file.name, file.path) == ("prices.csv", tmp_path / "prices.csv")
    assert file.sha256 == hashlib.sha256(b"charger,9").hexdigest()
    (tmp_path / "prices.csv").write_text("charger,10")
    assert load(tmp_path).assistants[0].files[0].sha256 == hashlib.sha256(b"charger,10").hexdigest()


def test_a_file_may_be_markdown_and_is_no_spec_then(tmp_path: Path) -> None:
    (tmp_path / "handbook.md").write_text("# Chargers")
    (tmp_path / "analyst.md").write_text(f"---\n{NAMED}files: [handbook.md]\n---\nWeigh.\n")
    [spec] = load(tmp_path).assistants
    assert [each.name for each in spec.files] == ["handbook.md"]


def test_files_need_not_be_there_where_only_specs_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "analyst.md").write_text(f"---\n{NAMED}files: [handbook.pdf]\n---\nWeigh.\n")
    [spec] = load(tmp_path, None).assistants
    assert [each.name for each in spec.files] == ["handbook.pdf"]


def test_a_spec_is_no_file_of_another_one_and_not_lost_by_being_named(tmp_path: Path) -> None:
    put(tmp_path, "critic", file="critic.md")
    assert wrong(tmp_path, f"{NAMED}files: [critic.md, analyst.md]") == [
        "5: files: 'analyst.md' is the spec of an assistant, and nothing to look things up in",
        "5: files: 'critic.md' is the spec of an assistant, and nothing to look things up in",
    ]


def test_what_is_no_file_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    said = wrong(tmp_path, f"{NAMED}files: [pipe, zero, folder]")
    assert [each.partition("cannot be read: ")[2] for each in said] == [
        "Is a directory",
        "it is no file",
        "it is no file",
    ]


def test_files_that_are_not_there_or_elsewhere_are_mistakes(tmp_path: Path) -> None:
    (tmp_path / "there.txt").write_text("x")
    (tmp_path / "large.txt").touch()
    os.truncate(tmp_path / "large.txt", LARGEST + 1)
    said = wrong(tmp_path, f"{NAMED}files: [gone.pdf, ../secret.txt, there.txt, there.txt, large.txt]")
    assert said == [
        "5: files: '../secret.txt' is no name of a file: put the file beside the spec, and name it without a folder",
        "5: files: 'gone.pdf' beside the spec cannot be read: No such file or directory",
        "5: files: 'large.txt' has more than 20,000,000 bytes: name the parts that are needed as files of their own",
        "5: files: 'there.txt' is named twice; take one out",
    ]
