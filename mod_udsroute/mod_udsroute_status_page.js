// SPDX-License-Identifier: Apache-2.0
// The status page keeps itself up to date: it fetches itself again, and what has changed is changed in place, so that
// focus, selection and what somebody is typing stay.
(function () {
  "use strict";
  const every = 1000;
  const live = document.getElementById("live");
  const pause = document.getElementById("pause");
  let timer = 0;
  let isPaused = false;
  let latest = 0;

  function isAlike(one, other) {
    return one.nodeType === other.nodeType && one.nodeName === other.nodeName && one.id === other.id;
  }

  function copyAttributes(from, to) {
    for (const { name, value } of to.attributes) {
      if (from.getAttribute(name) !== value) {
        from.setAttribute(name, value);
      }
    }
    for (const { name } of Array.from(from.attributes)) {
      if (!to.hasAttribute(name)) {
        from.removeAttribute(name);
      }
    }
  }

  // What is a member's stays with it, wherever it moves to.
  function morph(from, to) {
    if (from.nodeType !== Node.ELEMENT_NODE) {
      if (from.nodeValue !== to.nodeValue) {
        from.nodeValue = to.nodeValue;
      }
      return;
    }
    copyAttributes(from, to);
    let child = from.firstChild;
    for (const next of Array.from(to.childNodes)) {
      let match = child;
      while (match && next.id && !isAlike(match, next)) {
        match = match.nextSibling;
      }
      if (!match || !isAlike(match, next)) {
        from.insertBefore(document.importNode(next, true), child);
        continue;
      }
      while (child !== match) {
        const gone = child;
        child = child.nextSibling;
        gone.remove();
      }
      morph(match, next);
      child = match.nextSibling;
    }
    while (child) {
      const gone = child;
      child = child.nextSibling;
      gone.remove();
    }
  }

  function say(text) {
    if (live.textContent !== text) {
      live.textContent = text;
    }
  }

  // Without a request: the page itself. An answer that has been overtaken by a later one is old.
  async function load(request) {
    const number = ++latest;
    clearTimeout(timer);
    try {
      const response = await fetch(location.href.replace(/#.*/, ""), Object.assign({ cache: "no-store" }, request));
      const text = await response.text();
      if (!response.ok) {
        const isPlain = (response.headers.get("Content-Type") || "").startsWith("text/plain");
        throw new Error(isPlain ? text.trim() : response.status + " " + response.statusText);
      }
      if (number === latest) {
        // The rest of the page is not for a parser that minds the policy: its style has another nonce.
        const part = text.slice(text.indexOf("<main"), text.indexOf("</main>"));
        const main = document.querySelector("main");
        morph(main, new DOMParser().parseFromString(part, "text/html").querySelector("main"));
        document.title = main.dataset.title;
        say(isPaused ? "Paused" : "Live");
        wait(every);
      }
      return true;
    } catch (error) {
      if (number === latest) {
        say(request ? error.message : "No news: " + error.message);
        // Who reads it needs a moment.
        wait(5 * every);
      }
      return false;
    }
  }

  function wait(time) {
    clearTimeout(timer);
    if (!isPaused && !document.hidden) {
      timer = setTimeout(load, time);
    }
  }

  document.addEventListener("submit", async function (event) {
    const form = event.target;
    const data = new URLSearchParams(new FormData(form));
    if (event.submitter && event.submitter.name) {
      data.set(event.submitter.name, event.submitter.value);
    }
    event.preventDefault();
    if (await load({ method: "POST", body: data })) {
      form.reset();
    }
  });
  document.addEventListener("visibilitychange", function () {
    if (!isPaused && !document.hidden) {
      load();
    }
  });
  pause.addEventListener("click", function () {
    isPaused = !isPaused;
    pause.textContent = isPaused ? "Go on" : "Pause";
    say(isPaused ? "Paused" : "Live");
    wait(0);
  });
  pause.hidden = false;
  say("Live");
  wait(every);
})();
