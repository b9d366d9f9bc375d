// The buttons that save a conversation as a file.

import { download } from "./api.js";
import { h, say } from "./dom.js";

export function exports_(formats, path, file) {
  return formats.map(({ name, ending, label }) => {
    const onclick = async () => {
      try {
        await download(`${path}?format=${name}`, `${file}.${ending}`);
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
