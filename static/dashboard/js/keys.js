// Shortcuts: /  ?  j k Enter x  and g with a letter of the navigation.

const sheet = document.getElementById("shortcuts");
const jump = document.getElementById("jump");
let afterG = 0;

function typing(target) {
  return target.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable], dialog[open]");
}

function rows() {
  return [...document.querySelectorAll("table[data-rows] tbody tr")];
}

function select(step) {
  const all = rows();
  if (!all.length) return;
  const now = all.findIndex((row) => row.classList.contains("is-selected"));
  const next = now < 0 ? (step > 0 ? 0 : all.length - 1) : Math.max(0, Math.min(all.length - 1, now + step));
  if (now >= 0) all[now].classList.remove("is-selected");
  all[next].classList.add("is-selected");
  all[next].scrollIntoView({ block: "nearest" });
  all[next].querySelector("a")?.focus({ preventScroll: true });
}

function selected() {
  return document.querySelector("table[data-rows] tr.is-selected");
}

function go(letter) {
  const link = document.querySelector(`[data-go="${CSS.escape(letter)}"]`);
  if (link) location.assign(link.href);
}

const ACTS = {
  "/": () => jump?.focus(),
  "?": () => sheet?.showModal(),
  j: () => select(1),
  k: () => select(-1),
  x: () => selected()?.querySelector("input[type=checkbox]")?.click(),
  Enter: () => selected()?.querySelector("a")?.click(),
  g: () => { afterG = Date.now(); },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.key === "Escape" && event.target === jump) jump.blur();
  if (typing(event.target)) return;
  if (event.key === "Enter" && event.target !== document.body) return;
  if (Date.now() - afterG < 1500 && event.key !== "g") {
    afterG = 0;
    event.preventDefault();
    return go(event.key);
  }
  const act = ACTS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

for (const button of document.querySelectorAll("[data-shortcuts]")) {
  button.addEventListener("click", () => {
    button.closest("details")?.removeAttribute("open");
    sheet.showModal();
  });
}
