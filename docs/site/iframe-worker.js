/* The search of the site, made to work from a folder and for pasted lines.

The theme searches in a worker. Two things are added here, before the theme starts it:

1. A browser starts no worker from a file, so pages opened from a folder search in a hidden frame.
   (The theme offers a script of another host for that. It fetches it unless one with this name is
   among the polyfills.)
2. A query is a line that someone pastes: "RecipeError: geometry: unknown key 'variant'". The search
   engine reads "word:" as the name of a field, "-word" as "not this word", and finds nothing. Such
   signs are taken out, and the name that the line begins with has to be on the page. */
(() => {
  "use strict";
  const QUERY = 2; // the theme's number for a message with a search

  /** Words of a pasted line, without the signs that the engine takes for its own. */
  const words = (line) => {
    const begun = /^\s*([A-Z]\w+Error):/.exec(line);
    const plain = line
      .slice(begun ? begun[0].length : 0)
      .replace(/["'`:;,^~*=<>(){}[\]|\\/]+/g, " ")
      .replace(/(^|\s)[-+.]+|[-+.]+(?=\s|$)/g, " ");
    return begun ? `+${begun[1]} ${plain}` : plain;
  };

  const cleaned = (message) =>
    message && message.type === QUERY && typeof message.data === "string"
      ? { ...message, data: words(message.data) }
      : message;

  class CleaningWorker extends Worker {
    postMessage(message, ...rest) {
      super.postMessage(cleaned(message), ...rest);
    }
  }

  /** A worker's face before a hidden frame. */
  class FrameWorker extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const inside = this.frame.contentWindow;
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      const load = (source) =>
        new Promise((done, failed) => {
          const script = inside.document.createElement("script");
          Object.assign(script, { src: source, onload: done, onerror: failed });
          inside.document.body.append(script);
        });
      inside.importScripts = (...sources) =>
        sources.reduce((before, source) => before.then(() => load(source)), Promise.resolve());
      this.ready = load(url);
    }

    postMessage(message) {
      const inside = this.frame.contentWindow;
      this.ready.then(() =>
        inside.dispatchEvent(new inside.MessageEvent("message", { data: cleaned(message) })),
      );
    }

    terminate() {
      this.frame.remove();
    }
  }

  // The theme listens to keys alone; a line pasted with the mouse, dropped or dictated has none.
  document.addEventListener("input", ({ target }) => {
    if (target.dataset.mdComponent === "search-query") target.dispatchEvent(new Event("keyup"));
  });

  window.IFrameWorker = FrameWorker; // by this name the search looks for its languages
  window.Worker = location.protocol === "file:" ? FrameWorker : CleaningWorker;
})();
