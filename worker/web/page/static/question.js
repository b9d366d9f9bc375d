// A question before something is done that concerns others, too. What is wrong is said in it, and it stays open then.

import { html, useLayoutEffect, useRef, useState } from "./lib/preact.js";

// `act` does it, `done` gets what came of it, `close` is told that the question is over.
export function Question({ id, title, about, label, kind, act, done, close, children }) {
  const dialog = useRef(null);
  const [state, set] = useState({ wrong: "", busy: false });
  useLayoutEffect(() => dialog.current.showModal(), []);
  const onsubmit = async (event) => {
    event.preventDefault();
    const form = event.target;
    set({ wrong: "", busy: true });
    try {
      const result = await act(form);
      dialog.current.close();
      done(result);
    } catch (error) {
      set({ wrong: error.message, busy: false });
    }
  };
  return html`<dialog ref=${dialog} onclose=${close} aria-labelledby=${`${id}-title`} aria-describedby=${`${id}-about`}>
    <form method="dialog" onsubmit=${onsubmit}>
      <h2 id=${`${id}-title`}>${title}</h2>
      <p id=${`${id}-about`}>${about}</p>
      ${children}
      <p class="wrong" role="alert">${state.wrong}</p>
      <div class="actions">
        <button type="button" autofocus onclick=${() => dialog.current.close()}>Cancel</button>
        <button class=${kind} disabled=${state.busy}>${label}</button>
      </div>
    </form>
  </dialog>`;
}
