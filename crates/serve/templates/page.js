// Keeps the page as it was rendered by the server up to date: the server sends the parts that have changed.
"use strict";
(() => {
  const live = document.getElementById("live");
  const say = (state, words) => { live.className = "live " + state; live.textContent = words; };
  let offset = 0, last = Date.now();
  const held = new Map();

  // The same words as the server's: seconds, minutes, hours and minutes, days and hours.
  const two = (large, unit, small, other) => small ? `${large} ${unit} ${small} ${other}` : `${large} ${unit}`;
  const age = (seconds) => {
    const s = Math.max(0, Math.floor(seconds));
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min`;
    if (s < 86400) return two(Math.floor(s / 3600), "h", Math.floor(s / 60) % 60, "min");
    return two(Math.floor(s / 86400), "d", Math.floor(s / 3600) % 24, "h");
  };
  const tick = () => {
    const now = Date.now() + offset;
    for (const time of document.querySelectorAll("time[data-age]")) {
      const words = age((now - Date.parse(time.dateTime)) / 1000);
      if (time.textContent !== words) time.textContent = words;
    }
  };

  // What someone is selecting is left alone until they are done.
  const selecting = (element) => {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && selection.rangeCount > 0 && selection.getRangeAt(0).intersectsNode(element);
  };
  const replace = (id, html) => {
    const element = document.getElementById(id);
    if (!element) return;
    if (selecting(element)) { held.set(id, html); return; }
    held.delete(id);
    // What someone has opened or closed stays as it is, and so does where they are.
    const opened = new Map([...element.querySelectorAll("details[id]")].map((part) => [part.id, part.open]));
    const focused = element.contains(document.activeElement) && document.activeElement.closest("details[id]");
    element.outerHTML = html;
    for (const [part, open] of opened) {
      const now = document.getElementById(part);
      if (now) now.open = open;
    }
    if (focused) document.getElementById(focused.id)?.querySelector("summary").focus();
  };

  // A link to the checks or to the quarantine of a dataset opens them.
  const open = () => {
    const part = location.hash && document.getElementById(location.hash.slice(1));
    if (part && part.tagName === "DETAILS") { part.open = true; part.scrollIntoView({ block: "start" }); }
  };
  addEventListener("hashchange", open);
  open();

  const follow = new EventSource("/events");
  follow.addEventListener("flow", (event) => {
    const flow = JSON.parse(event.data);
    if (flow.structure !== document.documentElement.dataset.structure) { location.reload(); return; }
    offset = Date.parse(flow.now) - Date.now();
    last = Date.now();
    for (const [id, html] of [...held, ...Object.entries(flow.regions)]) replace(id, html);
    const verdict = document.getElementById("verdict");
    if (verdict) document.title = verdict.dataset.title;
    say("on", "live");
    tick();
  });
  follow.addEventListener("trouble", (event) => { last = Date.now(); say("off", JSON.parse(event.data)); });
  follow.addEventListener("error", () => say("off", "the node does not answer; trying again"));
  setInterval(() => {
    tick();
    if (Date.now() - last > 15000) say("off", `nothing heard for ${age((Date.now() - last) / 1000)}`);
  }, 1000);
  tick();
})();
