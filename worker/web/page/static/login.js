// Logs a person in at the issuer that the worker names: by a code with PKCE (RFC 7636), which wants no secret.

import { get, token } from "./api.js";

const KEY = "assistant-worker-login";
const HERE = `${location.origin}/`;
const PATIENCE_MS = 10_000;
const framed = window.top !== window;

const text = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const random = () => text(crypto.getRandomValues(new Uint8Array(32)));
const digest = async (said) => text(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(said))));

// What the worker says of the log-in; null where it takes tokens of its own alone, or cannot tell.
export const offered = () => get("/login").catch(() => null);

// Goes away, and comes back with a code. In a frame, where issuers do not let themselves be shown, a window goes instead.
export async function logIn(login, then) {
  const begun = { ...login, state: random(), verifier: random(), back: location.pathname + location.search };
  const window_ = framed ? window.open("", "_blank", "popup,width=520,height=680") : null;
  const asked = new URL(login.authorization_endpoint);
  for (const [name, value] of Object.entries({
    response_type: "code", client_id: login.client_id, redirect_uri: HERE, scope: login.scope, state: begun.state,
    code_challenge: await digest(begun.verifier), code_challenge_method: "S256",
  })) asked.searchParams.set(name, value);
  if (!window_) {
    sessionStorage.setItem(KEY, JSON.stringify(begun));
    location.assign(asked);
    return;
  }
  addEventListener("message", async function heard(event) {
    if (event.origin !== location.origin || event.source !== window_ || event.data?.state !== begun.state) return;
    removeEventListener("message", heard);
    then(await exchanged(begun, event.data));
  });
  window_.location = asked;
}

// Ends a log-in that this page was sent back from. A window that was opened for it hands the code to who opened it.
export async function logInEnded() {
  const said = Object.fromEntries(new URLSearchParams(location.search));
  if (!said.state || !(said.code || said.error)) return;
  const begun = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
  if (begun?.state !== said.state) {
    opener?.postMessage(said, location.origin);
    if (opener) window.close();
    history.replaceState(null, "", HERE);
    return;
  }
  sessionStorage.removeItem(KEY);
  history.replaceState(null, "", begun.back);
  await exchanged(begun, said);
}

// Gets a token for the code, and keeps it; says whether that went well.
async function exchanged({ token_endpoint, client_id, verifier }, { code }) {
  if (!code) return false;
  const form = { grant_type: "authorization_code", code, redirect_uri: HERE, client_id, code_verifier: verifier };
  const options = { method: "POST", body: new URLSearchParams(form), credentials: "omit", signal: AbortSignal.timeout(PATIENCE_MS) };
  const answer = await fetch(token_endpoint, options).catch(() => null);
  const said = answer?.ok ? await answer.json().catch(() => ({})) : {};
  if (said.access_token) token.set(said.access_token);
  return Boolean(said.access_token);
}
