// The buttons that save a conversation as a file.

import { download } from "./api.js";
import { h, say } from "./dom.js";

const FORMATS = [["json", "json", "JSON"], ["markdown", "md", "Markdown"]];

export function exports_(path, file) {
  return FORMATS.map(([format, ending, label]) => {
    const onclick = async () => {
      try {
        await download(`${path}?format=${format}`, `${file}.${ending}`);
        say(`Saved as ${file}.${ending}`);
      } catch (error) {
        say(error.message);
        button.textContent = `${label}: ${error.message}`;
      }
    };
    const button = h("button", { type: "button", onclick }, `Export ${label}`);
    return button;
  });
}
