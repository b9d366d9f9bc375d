// The buttons that save a conversation as a file.

import { html, useState } from "./lib/preact.js";
import { download, query } from "./api.js";
import { say } from "./parts.js";

export const Exports = ({ formats, path, file, parameters = {} }) => formats.map((format) => html`<${Export} key=${format.name} format=${format} path=${`${path}${query({ ...parameters, format: format.name })}`} file=${`${file}.${format.ending}`} />`);

function Export({ format, path, file }) {
  const [wrong, set] = useState("");
  const onclick = async () => {
    try {
      await download(path, file);
      set("");
      say(`Saved as ${file}`);
    } catch (error) {
      set(error.message);
      say(error.message);
    }
  };
  return html`<button type="button" onclick=${onclick}>${wrong ? `${format.label}: ${wrong}` : `Export ${format.label}`}</button>`;
}
