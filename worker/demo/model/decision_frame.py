"""The eight steps of the sample frame: Markdown where it is read, JSON where the next steps calculate with it."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from worker.demo.model import markdown as md
from worker.demo.model import objects
from worker.demo.model.heat import (
    ARCS,
    CARES,
    DECISIONS,
    FACTS,
    ISSUES,
    OPPOSED,
    RULES_OUT,
    UNCERTAINTIES,
    VALUES,
    Issue,
)

Inputs = Mapping[str, str]
Said = Sequence[str]
Json = dict[str, Any]

UNKNOWN: Final = ("not known yet", "they say that they were heard")
STAKEHOLDERS, WHO_DECIDES, WHY_NOW = "Stakeholders", "Who decides", "Why now"


def map_stakeholders(inputs: Inputs, _said: Said) -> str:
    """Step 1: a row for each of the people in the inputs."""
    people = [each for each in objects.read(inputs.get("people", ""), list) if isinstance(each, dict) and "who" in each]
    rows = [[each["who"], each.get("role", ""), CARES.get(each["who"], UNKNOWN)[0]] for each in people]
    deciding = next((each["who"] for each in people if "decides" in str(each.get("role"))), None)
    names = [row[0] for row in rows]
    apart = {f"{one} and {other}": over for one, other, over in OPPOSED if one in names and other in names}
    return md.page(
        f"**Question**: {inputs.get('question', 'not given')}",
        md.section(STAKEHOLDERS, md.grid(["Who", "Role", "Cares about"], rows)),
        md.section(WHO_DECIDES, md.bullets({deciding: "by vote"} if deciding else {"Nobody named": "ask first"})),
        md.section("Pull apart over", md.bullets(apart)),
        "Assumption: the 1,900 houses that heat with oil are affected, and nobody speaks for them.",
    )


def describe_context(inputs: Inputs, said: Said) -> str:
    """Step 2: why now, what is given, and where the boundaries run."""
    given = objects.read(inputs.get("given", ""), list)
    situation = inputs.get("situation", "").split(". ")
    dated = [sentence.rstrip(".") for sentence in situation if "2031" in sentence] or ["no date was given"]
    return md.page(
        md.section(WHY_NOW, "\n".join(f"- {sentence}." for sentence in dated)),
        md.section("Given", md.bullets({str(each): f"rules out {_ruled_out(str(each))}" for each in given})),
        md.section(
            "Boundaries",
            md.bullets(
                {"In": "source, site and contracts of the heat supply", "Out": "renovation of flats, other networks"}
            ),
        ),
        md.section(
            "Too narrow for",
            md.bullets({name: CARES[name][0] for name in _people(said) if "estate" in CARES.get(name, UNKNOWN)[0]}),
        ),
        f"Spoken of are the {len(_people(said))} stakeholders mapped before.",
    )


def state_vision(inputs: Inputs, said: Said) -> str:
    """Step 3: JSON with a sign of success for each stakeholder of step 1."""
    signs = [{"who": name, "sign": CARES.get(name, UNKNOWN)[1]} for name in _people(said)]
    return objects.write(
        {
            "purpose": f"To settle for a generation: {inputs.get('question', 'the question')}",
            "perspective": f"The {_decider(said)} on behalf of everybody who pays for heat, to 2050",
            "success": signs,
            "statement": "Hallin is warm on the coldest day, at a price that nobody fears. "
            f"All {len(signs)} of those who were asked can say what they gained and what they gave.",
        }
    )


def raise_issues(_inputs: Inputs, said: Said) -> str:
    """Step 4: JSON with what each stakeholder of step 1 would say."""
    people = _people(said)
    heard = [issue for issue in ISSUES if issue.who in people or not people]
    return objects.write(
        {"issues": [{"id": f"I{n}", "text": each.text, "raised_by": each.who} for n, each in enumerate(heard, 1)]}
    )


def sort_issues(inputs: Inputs, _said: Said) -> str:
    """Step 5: JSON with every issue of the inputs in one category; one that the script does not know is uncertain."""
    issues = objects.read(inputs.get("issues", ""), dict).get("issues", [])
    known = {each.text: each for each in ISSUES}
    found: dict[str, list[Json]] = {FACTS: [], UNCERTAINTIES: [], DECISIONS: [], VALUES: []}
    for issue in issues:
        category, restated = UNCERTAINTIES, str(issue["text"])
        if issue["text"] in known:
            category, restated = known[issue["text"]].category, known[issue["text"]].restated
        found[category].append({"issue": issue["id"], "restated": restated})
    return objects.write(found)


def build_hierarchy(inputs: Inputs, _said: Said) -> str:
    """Step 6: JSON with the decisions of the categories, and those that were taken before."""
    decisions = _known(objects.read(inputs.get("categories", ""), dict), DECISIONS)
    given = [str(each) for each in objects.read(inputs.get("given", ""), list)]
    focus = [
        {"name": each.name, "question": each.restated, "options": each.options} for each in decisions if each.options
    ]
    later = [{"decision": each.restated, "waits_for": each.waits_for} for each in decisions if not each.options]
    return objects.write(
        {
            "given": [{"decision": each, "rules_out": _ruled_out(each)} for each in given],
            "focus": focus,
            "later": later,
        }
    )


def diagram_influences(inputs: Inputs, _said: Said) -> str:
    """Step 7: JSON with nodes for decisions in focus, uncertainties and objectives, and the arcs between them."""
    categories = objects.read(inputs.get("categories", ""), dict)
    focus = [each["name"] for each in objects.read(inputs.get("hierarchy", ""), dict).get("focus", [])]
    kinds = {
        "decision": focus,
        "uncertainty": [each.name for each in _known(categories, UNCERTAINTIES)],
        "calculated": [each.name for each in _known(categories, VALUES)],
    }
    nodes = [
        {"id": f"{kind[0].upper()}{n}", "label": name, "kind": kind}
        for kind, names in kinds.items()
        for n, name in enumerate(names, 1)
    ]
    ids = {node["label"]: node["id"] for node in nodes}
    arcs = [{"from": ids[one], "to": ids[to], "because": why} for one, to, why in ARCS if one in ids and to in ids]
    arcs += [{"from": ids[name], "to": "V", "because": "it is wanted"} for name in kinds["calculated"]]
    return objects.write({"nodes": [*nodes, {"id": "V", "label": "Good for Hallin", "kind": "value"}], "arcs": arcs})


def write_frame(inputs: Inputs, said: Said) -> str:
    """Step 8: JSON that gathers what the steps before said, within the budget of this question."""
    categories, hierarchy, diagram = (objects.latest(said, name) for name in (VALUES, "focus", "nodes"))
    focus = [each["name"] for each in hierarchy.get("focus", [])]
    drawn = {node["label"] for node in diagram.get("nodes", [])}
    objectives = [{"name": each.name, "measure": each.measure, "better": "less"} for each in _known(categories, VALUES)]
    uncertain = [each for each in _known(categories, UNCERTAINTIES) if each.name in drawn]
    later = [each["decision"] for each in hierarchy.get("later", [])]
    why_now = md.lines(md.latest(said, WHY_NOW) or "", WHY_NOW)
    open_points = [{"point": each, "settled_by": _decider(said)} for each in later if "vote" in each]
    return objects.write(
        {
            "statement": f"{inputs.get('question', 'The decision')} To be chosen together: {', '.join(focus)}; "
            f"for at most {inputs.get('budget_meur', '?')} M€, and without reopening what is given.",
            "decision_maker": _decider(said),
            "deadline": _deadline(why_now[0]) if why_now else "not known",
            "given": [each["decision"] for each in hierarchy.get("given", [])],
            "focus": [f"{each['name']}: {each['question']}" for each in hierarchy.get("focus", [])],
            "later": later,
            "objectives": objectives,
            "uncertainties": [{"name": each.name, "reduced_by": each.reduced_by} for each in uncertain],
            "open_points": open_points,
            "ready": bool(focus and objectives and why_now and not open_points),
        }
    )


def _deadline(why_now: str) -> str:
    """When it has to be decided: as long before the year that is named as planning and building may take."""
    year, longest = re.search(r"20\d\d", why_now), re.search(r"\w+ to (\w+) years", why_now)
    if not year or not longest or longest[1] not in _YEARS:
        return why_now.removeprefix("- ")
    years = _YEARS[longest[1]]
    return f"{int(year[0]) - years}: planning and building takes up to {years} years, until {year[0]}"


_YEARS: Final = {"three": 3, "four": 4, "five": 5, "six": 6}


def _ruled_out(given: str) -> str:
    return next((text for word, text in RULES_OUT.items() if word in given.lower()), "nothing that is known here")


def _people(said: Said) -> list[str]:
    """The stakeholders that the first step mapped."""
    return [row[0] for row in md.rows(md.latest(said, STAKEHOLDERS) or "", STAKEHOLDERS)[1:]]


def _decider(said: Said) -> str:
    return next(iter(md.read(md.latest(said, WHO_DECIDES) or "", WHO_DECIDES)), "Nobody named")


def _known(categories: Json, category: str) -> list[Issue]:
    """The issues of one category that the script knows."""
    restated = [each["restated"] for each in categories.get(category, [])]
    return [issue for issue in ISSUES if issue.restated in restated]


STEPS: Final[Mapping[str, Callable[[Inputs, Said], str]]] = {
    r"^map the stakeholders$": map_stakeholders,
    r"^describe the context$": describe_context,
    r"^state the vision$": state_vision,
    r"^raise the issues$": raise_issues,
    r"^sort the issues$": sort_issues,
    r"^build the hierarchy$": build_hierarchy,
    r"^diagram the influences$": diagram_influences,
    r"^write the final frame$": write_frame,
}
"""The steps by the question's heading."""
