// Asks the worker's API. A token is kept for this tab only.

const KEY = "assistant-worker-token";

export class Problem extends Error {
  constructor(status, title, detail) {
    super(detail || title);
    this.status = status;
    this.title = title;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

async function send(path, options = {}) {
  const headers = { ...options.headers };
  if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers, credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "No answer", "The worker cannot be reached now.");
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  throw new Problem(response.status, said.title || `Status ${response.status}`, said.detail || "");
}

// An answer that is read by who asked. `parameters` without a value are left out.
export const opened = (path, parameters, signal) => send(`/api${path}${query(parameters)}`, { signal });

export async function get(path, parameters = {}, signal = undefined) {
  const response = await opened(path, parameters, signal);
  return response.json();
}

async function sendBody(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  const response = await send(`/api${path}`, { method, headers, body: JSON.stringify(body) });
  return response.json().catch(() => null);
}

export const post = (path, body) => sendBody("POST", path, body);
export const patch = (path, body) => sendBody("PATCH", path, body);
export const put = (path, body) => sendBody("PUT", path, body);

export async function remove(path) {
  const response = await send(`/api${path}`, { method: "DELETE" });
  return response.json();
}

// A link could not send the token.
export async function download(path, file) {
  const response = await send(`/api${path}`);
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

export function query(parameters) {
  const wanted = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return wanted.length ? `?${new URLSearchParams(wanted)}` : "";
}

export const id = encodeURIComponent;

// A name for what is sent, by which it is known if it has to be sent again.
export const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (each) => each.toString(16).padStart(2, "0")).join("");
