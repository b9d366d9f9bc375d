// Tabs in Cockpit, of Operaton and of Camunda 7, that show the worker's page: "Conversation" for process instances,
// where it follows the selected activity, and "Conversations" for definitions, with their instances, ended ones too.

// Where people's browsers find the page of the assistant worker, without a slash at the end.
const PAGE = "http://127.0.0.1:8091";

const STYLE = "width: 100%; min-height: 300px; border: 0; display: block;";
const REFUSED =
  "Cockpit does not allow this page to be shown in it: its Content-Security-Policy needs frame-src with the origin ";

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// The frame fills the part of Cockpit that scrolls, whatever size people give it.
function fill(node, frame) {
  let pane = node.parentElement;
  while (pane && !/auto|scroll/.test(getComputedStyle(pane).overflowY)) pane = pane.parentElement;
  if (!pane) return () => {};
  const fit = () => {
    const above = frame.getBoundingClientRect().top - pane.getBoundingClientRect().top + pane.scrollTop;
    frame.style.height = `${pane.clientHeight - above - 12}px`;
  };
  const sizes = new ResizeObserver(fit);
  sizes.observe(pane);
  return () => sizes.disconnect();
}

// Shows an address of the page in a frame, with a link to the same in a page of its own. Returns the frame.
function show(node, title, hint, address, embedded) {
  const link = element("a", { href: PAGE + address, target: "_blank", rel: "noopener" }, hint);
  const frame = element("iframe", { src: PAGE + embedded, title, style: STYLE });
  const refused = (event) => {
    if (event.effectiveDirective === "frame-src" && PAGE.startsWith(event.blockedURI)) {
      frame.replaceWith(element("p", {}, `${REFUSED}${PAGE}.`));
    }
  };
  document.addEventListener("securitypolicyviolation", refused);
  node.append(element("p", { role: "status", style: "padding: 4px 0" }, link), frame);
  const leaving = [() => document.removeEventListener("securitypolicyviolation", refused), fill(node, frame)];
  node.leaveConversation = () => leaving.forEach((leave) => leave());
  return { frame, leaving };
}

// Cockpit's address names the selected activities, one with several instances twice; of several none is meant.
function selected() {
  const ids = new URLSearchParams(location.hash.split("?")[1]).get("activityIds")?.split(",") ?? [];
  const [one, ...others] = new Set(ids.map((each) => each.replace(/#multiInstanceBody$/, "")));
  return one && !others.length ? one : null;
}

function renderInstance(node, { processInstanceId }) {
  const address = `/instances/${encodeURIComponent(processInstanceId)}`;
  const embedded = () => `/embed${address}${selected() ? `/activities/${encodeURIComponent(selected())}` : ""}`;
  let shown = embedded();
  const { frame, leaving } = show(node, "Conversation", "Open the conversation in a page of its own", address, shown);
  const follow = () => {
    if (embedded() === shown) return;
    shown = embedded();
    frame.contentWindow?.location.replace(PAGE + shown); // not `src`, which would be one more step for Back
  };
  addEventListener("hashchange", follow);
  leaving.push(() => removeEventListener("hashchange", follow));
}

async function renderDefinition(node, { api, processDefinitionId }) {
  // A long id does not begin with the key.
  const answer = await fetch(`${api.engineApi}/process-definition/${encodeURIComponent(processDefinitionId)}`);
  if (!answer.ok) return node.append(element("p", {}, "Cockpit does not tell which definition this is."));
  const { key } = await answer.json();
  if (!node.isConnected) return undefined; // another tab was chosen meanwhile
  const address = `/instances?${new URLSearchParams({ definition_key: key })}`;
  return show(node, "Conversations", "Open the instances in a page of their own", address, `/embed${address}`);
}

function unmount(node) {
  node?.leaveConversation?.();
  node?.replaceChildren();
}

const tab = (pluginPoint, label, render) => ({
  id: `assistant-conversation-${pluginPoint}`,
  pluginPoint: `cockpit.${pluginPoint}.tab`,
  priority: 5,
  properties: { label },
  render,
  unmount,
});

export default [
  tab("processInstance.runtime", "Conversation", renderInstance),
  tab("processInstance.history", "Conversation", renderInstance),
  tab("processDefinition.runtime", "Conversations", renderDefinition),
];
