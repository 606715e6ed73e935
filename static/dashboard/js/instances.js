// The list: ticked rows stay ticked while the list moves, and the bar offers what can be done to them.
// Without this file the bar stands below the table, and the server says what can be done.

const bar = document.getElementById("pick");
const region = document.getElementById("live-region");
const picked = new Map(); // id of the instance → its status when it was ticked

const boxes = () => [...region.querySelectorAll("td.pick input")];

function remember(box) {
  if (box.checked) picked.set(box.value, box.closest("tr").dataset.status);
  else picked.delete(box.value);
}

function show() {
  if (!bar) return;
  const shown = boxes();
  const here = new Set(shown.map((box) => box.value));
  const away = [...picked.keys()].filter((id) => !here.has(id));
  bar.hidden = picked.size === 0;
  bar.querySelector("[data-picked]").textContent =
    `${picked.size} ticked${away.length ? `, ${away.length} not on this page any more` : ""}`;
  bar.querySelector("[data-picked-away]").replaceChildren(...away.map(hiddenInput));
  for (const button of bar.querySelectorAll("[data-legal]")) {
    const legal = button.dataset.legal.split(" ");
    const count = [...picked.values()].filter((status) => legal.includes(status)).length;
    button.disabled = count === 0;
    button.title = count && count < picked.size ? `Can be done to ${count} of ${picked.size}` : "";
  }
  const all = region.querySelector("[data-pick-page]");
  if (!all) return;
  const ticked = shown.filter((box) => box.checked).length;
  all.checked = ticked > 0 && ticked === shown.length;
  all.indeterminate = ticked > 0 && ticked < shown.length;
}

function hiddenInput(id) {
  const input = document.createElement("input");
  input.type = "hidden";
  input.name = "id";
  input.value = id;
  return input;
}

let lastBox = null;
region.addEventListener("click", (event) => {
  const box = event.target.closest("td.pick input");
  if (!box) return;
  // With shift, everything between this one and the one before.
  const all = boxes();
  const [from, to] = [all.indexOf(lastBox), all.indexOf(box)].sort((a, b) => a - b);
  if (event.shiftKey && from >= 0) for (const one of all.slice(from, to + 1)) one.checked = box.checked;
  lastBox = box;
});

region.addEventListener("change", (event) => {
  if (event.target.matches("[data-pick-page]")) for (const box of boxes()) box.checked = event.target.checked;
  for (const box of boxes()) remember(box);
  show();
});

bar?.querySelector("[data-pick-none]").addEventListener("click", () => {
  picked.clear();
  for (const box of boxes()) box.checked = false;
  show();
});

document.addEventListener("live:drawn", () => {
  for (const box of boxes()) {
    box.checked = picked.has(box.value);
    if (box.checked) remember(box);
  }
  say(0);
  show();
});

// Rows never move under the pointer: what has come meanwhile is counted instead.
const indicator = document.querySelector("[data-live-indicator]");
let lastCount = 0;
if (indicator) new MutationObserver(countNew).observe(indicator, { attributeFilter: ["data-state"] });

async function countNew() {
  if (indicator.dataset.state !== "held" || Date.now() - lastCount < 4000) return;
  lastCount = Date.now();
  const { liveUrl, liveTag } = region.dataset;
  const response = await fetch(liveUrl, { headers: { "HX-Request": "true", "HX-PTag": liveTag } }).catch(() => null);
  if (response?.status !== 200) return;
  const next = new DOMParser().parseFromString(await response.text(), "text/html");
  const known = new Set(keys(region));
  if (indicator.dataset.state === "held") say(keys(next).filter((key) => !known.has(key)).length);
}

function keys(root) {
  return [...root.querySelectorAll("tr[data-key]")].map((row) => row.dataset.key);
}

function say(count) {
  const note = region.querySelector("[data-new-rows]");
  if (!note) return;
  note.hidden = count === 0;
  const text = document.createElement("span");
  text.textContent = `+${count} new`;
  note.replaceChildren(...(count ? [text] : []));
}

for (const box of boxes()) remember(box); // Back keeps what was ticked
show();
