// Keeps <section data-live-url data-live-tag> up to date: often while something runs, seldom while nobody looks.
// The server answers 304 as long as the tag holds, so that nothing is drawn twice. Swaps morph: scroll, focus and
// open <details> stay, and rows do not move while the pointer is on one.

const BUSY = 1500, CALM = 5000, IDLE = 20000, LONGEST = 30000;
const IDLE_AFTER = 120000;

const indicator = document.querySelector("[data-live-indicator]");
const announcer = document.querySelector("[data-announce]");
const regions = new Map();
let lastAct = Date.now();

for (const kind of ["pointermove", "pointerdown", "keydown", "scroll"])
  addEventListener(kind, () => wake(), { passive: true, capture: true });

function wake() {
  const wasIdle = Date.now() - lastAct > IDLE_AFTER;
  lastAct = Date.now();
  if (wasIdle) for (const state of regions.values()) schedule(state, 0);
}

document.addEventListener("visibilitychange", () => {
  for (const state of regions.values()) document.hidden ? clearTimeout(state.timer) : schedule(state, 0);
  show();
});
addEventListener("online", () => wakeAll());
addEventListener("pageshow", (event) => { if (event.persisted) wakeAll(); });

function wakeAll() {
  for (const state of regions.values()) schedule(state, 0);
}

function pause(state, region) {
  if (state.failures) return Math.min(LONGEST, BUSY * 2 ** state.failures);
  if (Date.now() - lastAct > IDLE_AFTER) return IDLE;
  return region.hasAttribute("data-live-busy") ? BUSY : CALM;
}

function schedule(state, delay) {
  clearTimeout(state.timer);
  const region = document.getElementById(state.id);
  if (!region || document.hidden || state.status === "out") return;
  state.timer = setTimeout(() => ask(state), delay ?? pause(state, region));
}

async function ask(state) {
  const region = document.getElementById(state.id);
  if (!region) return regions.delete(state.id);
  if (state.asking) return;
  state.asking = true;
  const timeout = AbortSignal.timeout(20000);
  try {
    const response = await fetch(region.dataset.liveUrl, {
      headers: { "HX-Request": "true", "HX-PTag": region.dataset.liveTag },
      credentials: "same-origin", cache: "no-store", redirect: "error", signal: timeout,
    });
    await take(state, region, response);
  } catch {
    state.failures += 1;
    state.status = "lost";
  }
  state.asking = false;
  show();
  schedule(state);
}

async function take(state, region, response) {
  if (response.status === 401 || response.status === 403 || response.status === 404) {
    state.status = "out";
    state.reason = { 401: "Logged out", 403: "Not allowed any more", 404: "No longer there" }[response.status];
  } else if (!response.ok && response.status !== 304) {
    throw new Error(`status ${response.status}`);
  } else {
    state.failures = 0;
    state.status = "live";
    state.seen = Date.now();
    if (response.status === 200) await draw(state, region, await response.text());
  }
}

async function draw(state, region, html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  const next = parsed.getElementById(state.id);
  if (!next) return;
  if (wouldMoveUnderPointer(region, next)) {
    state.status = "held";
    return;
  }
  keepOpen(region, next);
  await htmx.swap({ sourceElement: region, target: region, swap: "outerMorph", text: next.outerHTML });
  document.dispatchEvent(new CustomEvent("live:drawn", { detail: { id: state.id } }));
}

// Rows are the same ones in the same order, or nobody points at them.
function wouldMoveUnderPointer(region, next) {
  if (!region.querySelector("tr[data-key]:hover, li[data-key]:hover")) return false;
  const keys = (root) => [...root.querySelectorAll("[data-key]")].map((one) => one.dataset.key).join("\n");
  return keys(region) !== keys(next);
}

// Whatever a person has opened, ticked or chosen by the keyboard is not the server's to undo.
function keepOpen(region, next) {
  for (const old of region.querySelectorAll("details[id], dialog[id]")) {
    const fresh = next.querySelector(`#${CSS.escape(old.id)}`);
    if (fresh) fresh.toggleAttribute("open", old.open);
  }
  for (const old of region.querySelectorAll("tr.is-selected[id]")) {
    next.querySelector(`#${CSS.escape(old.id)}`)?.classList.add("is-selected");
  }
  for (const old of region.querySelectorAll("input[type=checkbox][id]")) {
    next.querySelector(`#${CSS.escape(old.id)}`)?.toggleAttribute("checked", old.checked);
  }
}

const WORDS = { held: "New rows wait while you point at one", lost: "Reconnecting…", paused: "Paused" };

function show() {
  if (!indicator || !regions.size) return;
  const states = [...regions.values()];
  const worst = ["out", "lost", "held"].map((one) => states.find((state) => state.status === one)).find(Boolean);
  const status = document.hidden ? "paused" : worst?.status ?? "live";
  const text = status === "out" ? worst.reason : WORDS[status] ?? liveText(states);
  indicator.hidden = false;
  if (indicator.dataset.state !== status && announcer && status !== "held" && indicator.dataset.state) {
    announcer.textContent = status === "live" ? "This page is live." : text;
  }
  indicator.dataset.state = status;
  indicator.title = text;
  indicator.querySelector("[data-live-text]").textContent = text;
}

function liveText(states) {
  const seconds = Math.round((Date.now() - Math.min(...states.map((state) => state.seen))) / 1000);
  return seconds < 1 ? "Live, now" : `Live, ${seconds} s ago`;
}

for (const region of document.querySelectorAll("[data-live-url]")) {
  const state = { id: region.id, status: "live", seen: Date.now(), failures: 0, asking: false, timer: 0 };
  regions.set(region.id, state);
  schedule(state);
}
if (regions.size) {
  show();
  setInterval(show, 1000);
}
