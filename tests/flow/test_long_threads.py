"""A thread never ends because it is long, whatever the API, and the last step knows what the first one settled."""

from pathlib import Path

import pytest

from tests.flow.rig import Rig
from tests.flow.test_apis import seen
from worker.domain.providers import Api

pytestmark = pytest.mark.timeout(600)
PROVIDERS = """
providers:
  openai: {{api: {api}, base_url: {url}, key: env:FLOW_KEY, context_tokens: {window}}}
"""


@pytest.mark.parametrize(("count", "window"), [(20, 2500), pytest.param(200, 8000, marks=pytest.mark.sweep)])
@pytest.mark.parametrize("api", ["conversations", "responses", "chat"])
async def test_steps_on_a_small_window_end_without_an_incident_and_know_what_the_third_one_settled(
    kept: Rig, api: Api, count: int, window: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOW_KEY", "test-key-never-logged")
    file = tmp_path / "providers.yaml"
    file.write_text(PROVIDERS.format(api=api, url=kept.provider.base_url, window=window))
    kept.settings |= {"providers_file": file, "openai_base_url": None, "openai_api_key": None}
    kept.provider.answer("Please do talk", "So much to say. " * 60)
    kept.provider.answer("Please do settle", '{"bird": "pelican"}')
    kept.provider.answer("Write down what whoever", "Nothing comes to mind.")
    names = [f"talk_{number}" for number in range(1, count + 1) if number != 3]
    steps = [kept.step(name, data_input="-") for name in names]
    steps.insert(2, kept.step("settle", data_input="-", data_output_fields="bird"))
    model = await kept.deploy(*steps)
    await kept.start_worker()
    instance = await kept.rest.start(model)
    await kept.rest.wait_for_end(instance, 500)

    metas = [await kept.meta(instance, name) for name in names]
    assert max(meta["tokens"]["input"] for meta in metas) < window
    # What the model is asked beside the turns, to fold them, may come behind the last of those.
    last = [each for each in seen(kept, api) if f"Please do {names[-1]}" in each][-1]
    assert '{"bird": "pelican"}' in last.replace('\\"', '"')
    assert "word for word" in last
    if api == "conversations":
        assert 1 <= sum(meta["use"] == "recreated" for meta in metas) <= count // 2
    else:
        assert any(meta["untold"] for meta in metas)
