"""The tab "Conversation" in an engine's Cockpit: files over those of its jars, and leave to show a page in a frame."""

from pathlib import Path
from typing import Final

PLUGIN: Final = Path(__file__).parents[1] / "web" / "cockpit" / "conversation.js"
_ADDRESS: Final = 'const PAGE = "http://127.0.0.1:8091";'
_CONFIG: Final = 'export default { customScripts: ["scripts/conversation"] };\n'

# The engines' own policy as of Operaton 1.0 and Camunda 7.24, and frames of one more origin.
_POLICY: Final = (
    "base-uri 'self';script-src $NONCE 'strict-dynamic' 'unsafe-eval' https: 'self' 'unsafe-inline';"
    "style-src 'unsafe-inline' 'self';default-src 'self';img-src 'self' data:;block-all-mixed-content;"
    "form-action 'self';frame-ancestors 'none';object-src 'none';frame-src 'self' {page};"
    "sandbox allow-forms allow-scripts allow-same-origin allow-popups allow-downloads"
)


def overlay(kind: str, folder: Path, page: str) -> Path:
    """Write Cockpit's configuration and the plugin for a page into a folder that belongs before the jars."""
    scripts = folder / "META-INF" / "resources" / "webjars" / kind / "app" / "cockpit" / "scripts"
    scripts.mkdir(parents=True, exist_ok=True)
    plugin = PLUGIN.read_text("utf-8")
    if _ADDRESS not in plugin:
        raise ValueError(f"{PLUGIN.name} does not say where the page is as it used to")
    (scripts / "config.js").write_text(_CONFIG, "utf-8")
    (scripts / "conversation.js").write_text(plugin.replace(_ADDRESS, f'const PAGE = "{page}";'), "utf-8")
    return folder


def policy(page: str) -> str:
    """Cockpit's Content-Security-Policy that lets it show the page."""
    return _POLICY.format(page=page)
