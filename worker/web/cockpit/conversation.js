// A tab "Conversation" for process instances in Cockpit, of Operaton and of Camunda 7. It shows the worker's page.

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

function render(node, { processInstanceId }) {
  const address = `/instances/${encodeURIComponent(processInstanceId)}`;
  const link = element("a", { href: PAGE + address, target: "_blank", rel: "noopener" }, "Open the conversation in a page of its own");
  const hint = element("p", { role: "status", style: "padding: 4px 0" }, link);
  const frame = element("iframe", { src: `${PAGE}/embed${address}`, title: "Conversation", style: STYLE });
  const refused = (event) => {
    if (event.effectiveDirective === "frame-src" && PAGE.startsWith(event.blockedURI)) {
      frame.replaceWith(element("p", {}, `${REFUSED}${PAGE}.`));
    }
  };
  document.addEventListener("securitypolicyviolation", refused);
  node.append(hint, frame);
  const stop = fill(node, frame);
  node.leaveConversation = () => {
    document.removeEventListener("securitypolicyviolation", refused);
    stop();
  };
}

function unmount(node) {
  node?.leaveConversation?.();
  node?.replaceChildren();
}

const tab = (view) => ({
  id: `assistant-conversation-${view}`,
  pluginPoint: `cockpit.processInstance.${view}.tab`,
  priority: 5,
  properties: { label: "Conversation" },
  render,
  unmount,
});

export default [tab("runtime"), tab("history")];
