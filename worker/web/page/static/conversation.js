// One conversation: everything that was said with one assistant on one thread.

import { get, id } from "./api.js";
import { cost, count, facts, h, name, note, number, seconds, time, tokens } from "./dom.js";
import { exports_ } from "./exports.js";
import { order } from "./order.js";
import { thread } from "./thread.js";

export async function conversation({ parts: [own], me, signal, parameters }) {
  const newest = parameters.get("from") === "newest";
  const [session, standing, spent] = await Promise.all([
    get(`/sessions/${id(own)}`, {}, signal),
    get(`/sessions/${id(own)}/standing`, {}, signal),
    get(`/sessions/${id(own)}/cost`, {}, signal),
  ]);
  const said = await thread(`/sessions/${id(own)}/thread`, {}, { signal, me, newest });
  return {
    title: session.assistant,
    content: [
      h("div", { class: "heading" }, h("h1", {}, name(session.assistant)), state(session, session.process_instance_id, standing)),
      ...[asRecorded(standing)].filter(Boolean),
      about(session, spent),
      h("div", { class: "actions" }, exports_(me.formats, `/sessions/${id(own)}/export`, `conversation-${own}`)),
      h("section", { "aria-labelledby": "said" }, h("div", { class: "heading" }, h("h2", { id: "said" }, count(session.messages, "message")), order(newest)), said),
    ],
  };
}

function about(session, spent) {
  const instance = session.process_instance_id;
  return facts([
    ["Process", [name(session.definition_key), session.definition_version ? ` v${session.definition_version}` : ""]],
    ["Instance", instance ? h("a", { href: `/instances/${id(instance)}` }, h("code", {}, instance)) : "shared by business key"],
    ["Business key", session.business_key && name(session.business_key)],
    ["Tenant", session.tenant && name(session.tenant)],
    ["Version", session.assistant_version && name(session.assistant_version)],
    ["Thread", session.thread_id && h("code", {}, session.thread_id)],
    ["Generation", session.generation > 1 ? number(session.generation) : null],
    ["Person", session.user && name(session.user)],
    ["Tokens", tokens(spent)],
    ["Cost", cost(spent)],
    ["Started", time(session.started_at)],
    ["Ended", session.ended_at && time(session.ended_at)],
    ["Erased at the provider", session.thread_erased_at && time(session.thread_erased_at)],
    ["Anonymised", session.anonymised_at && time(session.anonymised_at)],
    ["Lasted", session.duration_seconds === null ? null : seconds(session.duration_seconds)],
  ]);
}

// By the engine's word, or else as the transcript last heard it.
export function state(each, instance, standing) {
  const runs = Object.hasOwn(standing.runs, instance) ? standing.runs[instance] : each.is_active;
  return h("span", { class: `tag ${runs ? "running" : "done"}` }, runs ? "active" : "ended");
}

export const asRecorded = (standing) => standing.problem && note("Active or ended: as last recorded", standing.problem);
