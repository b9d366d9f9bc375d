// Legal holds: whether a record is on one, and the questions by which people set and lift it.

import { html, useState } from "./lib/preact.js";
import { post } from "./api.js";
import { name, Note, time } from "./parts.js";
import { Question } from "./question.js";

const LONGEST_REASON = 1000;

export function OnHold({ held }) {
  if (!held) return null;
  return html`<${Note} title="On legal hold"><p>Since ${time(held.since)}, by ${name(held.by)}: ${name(held.why)}</p>
    <p>Nobody can erase it, or the messages that it cites.</p></>`;
}

// `done` is told whether the record is on hold now.
export function HoldButton({ path, held, me, done }) {
  const [asking, ask] = useState(false);
  if (!me.rights.includes("hold") || me.person === null) return null;
  const what = held ? "Release" : "Hold";
  const about = held
    ? "Orders to erase that wait for it are carried out, and what is past its time is removed."
    : "Nothing of this record, nor of the messages that it cites, is erased until somebody releases it.";
  return html`<button type="button" onclick=${() => ask(true)}>${what} …</button>
    ${asking && html`<${Question}
      id="hold"
      title=${held ? "Lift the legal hold?" : "Put this record on legal hold?"}
      about=${about}
      label=${what}
      act=${(form) => post(`${path}/${held ? "release" : "hold"}`, { reason: form.elements.reason.value })}
      done=${({ held: now }) => done(now)}
      close=${() => ask(false)}
    >
      <p class="field"><label for="reason">Why? This and your name stay in the record for as long as it is kept.</label>
        <textarea id="reason" name="reason" rows="3" required maxlength=${LONGEST_REASON} dir="auto" /></p>
    </>`}`;
}
