// All of the page works without this script. It adds keys, and shows what is live as it changes.
"use strict";

const live = document.getElementById("live");
const state = document.getElementById("state");

// A form that is open, or text that is selected, is not pulled from under the person's hands.
const busy = () => live.querySelector("details[open], :is(input, select):focus") !== null || !(getSelection()?.isCollapsed ?? true);

// replace leaves the element alone where nothing differs, as after a page was loaded.
function replace(element, html) {
  const made = document.createElement("template");
  made.innerHTML = html;
  if (made.innerHTML.trim() === element.innerHTML.trim()) return;
  const focused = element.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  element.innerHTML = html;
  if (focused !== null) element.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
}

// The address of the view, asked for events, answers with its parts whenever they differ.
function follow() {
  const says = document.getElementById("following");
  let stream = null, held = null;
  const show = () => { if (held !== null && !busy()) { replace(live, held); held = null; } };
  const open = () => {
    if (stream !== null || document.hidden) return;
    stream = new EventSource(location.href);
    stream.addEventListener("open", () => { says.textContent = "Live."; });
    stream.addEventListener("state", (event) => replace(state, event.data));
    stream.addEventListener("live", (event) => { held = event.data; show(); });
    stream.addEventListener("error", () => {
      if (stream.readyState === EventSource.CLOSED) says.textContent = "Not live: reload the page.";
    });
  };
  const close = () => { stream?.close(); stream = null; };
  document.addEventListener("visibilitychange", () => { if (document.hidden) close(); else open(); });
  addEventListener("pagehide", close);
  setInterval(show, 500);
  open();
}

// move focuses the next row, or the previous one.
function move(by) {
  const rows = [...document.querySelectorAll("a.row")];
  const at = rows.indexOf(document.activeElement);
  rows[Math.min(Math.max(at < 0 ? 0 : at + by, 0), rows.length - 1)]?.focus();
}

let going = false;
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const open of document.querySelectorAll("details.ask[open]")) { open.open = false; open.querySelector("summary").focus(); }
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  if (going) {
    going = false;
    document.querySelector(`header nav a[data-key="${CSS.escape(event.key)}"]`)?.click();
    return;
  }
  going = event.key === "g";
  if (event.key === "j") move(1);
  if (event.key === "k") move(-1);
  if (event.key === "/") {
    document.querySelector("input[type=search]")?.focus();
    event.preventDefault();
  }
});

// One form is open at a time.
document.addEventListener("toggle", (event) => {
  if (!event.target.open || !event.target.matches("details.ask")) return;
  for (const other of document.querySelectorAll("details.ask[open]")) if (other !== event.target) other.open = false;
  event.target.querySelector("input:not([type=hidden])")?.focus();
}, true);

// A text to copy has a button for it.
for (const text of document.querySelectorAll("pre.copied")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text.textContent);
    button.textContent = "Copied";
  });
  text.before(button);
}

// What a change did is said once, and not again when the page is loaded again.
const address = new URL(location.href);
if (address.searchParams.has("done")) {
  address.searchParams.delete("done");
  history.replaceState(null, "", address);
}

document.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
if (live !== null) follow();
