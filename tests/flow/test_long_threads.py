"""A thread never ends because it is long, whatever the API, and the last step knows what the first one settled."""

from pathlib import Path

import pytest

from tests.flow.rig import Rig
from tests.flow.test_apis import seen
from worker.domain.providers import Api

pytestmark = pytest.mark.timeout(180)
WINDOW = 2500
PROVIDERS = """
providers:
  openai: {{api: {api}, base_url: {url}, key: env:FLOW_KEY, context_tokens: {window}}}
"""


@pytest.mark.parametrize("api", ["conversations", "responses", "chat"])
async def test_twenty_steps_on_a_small_window_end_without_an_incident(
    kept: Rig, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOW_KEY", "test-key-never-logged")
    file = tmp_path / "providers.yaml"
    file.write_text(PROVIDERS.format(api=api, url=kept.provider.base_url, window=WINDOW))
    kept.settings |= {"providers_file": file, "openai_base_url": None, "openai_api_key": None}
    kept.provider.answer("Please do talk", "So much to say. " * 60)
    kept.provider.answer("Please do settle", '{"bird": "pelican"}')
    kept.provider.answer("Write down what whoever", "Nothing comes to mind.")
    steps = [kept.step(f"talk_{number}", data_input="-") for number in range(20)]
    model = await kept.deploy(kept.step("settle", data_input="-", data_output_fields="bird"), *steps)
    await kept.start_worker()
    instance = await kept.run(model)

    metas = [await kept.meta(instance, f"talk_{number}") for number in range(20)]
    assert max(meta["tokens"]["input"] for meta in metas) < WINDOW
    # What the model is asked beside the turns, to fold them, may come behind the last of those.
    last = [each for each in seen(kept, api) if "Please do talk_19" in each][-1]
    assert '{"bird": "pelican"}' in last.replace('\\"', '"')
    assert "word for word" in last
    if api == "conversations":
        assert 1 <= sum(meta["use"] == "recreated" for meta in metas) <= 10
    else:
        assert any(meta["untold"] for meta in metas)
