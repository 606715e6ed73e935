// Typed forms without leaving the page: rows come and go, and what else the form stands for is kept in step.
// Everything here also works by the buttons themselves, as plain submits.

const PAUSE = 400;

const state = (control) => ["checkbox", "radio"].includes(control.type) ? control.checked : control.value;

// What is typed while the server answers is newer than the answer.
function keepTyped(form, before, page) {
  for (const [control, was] of before) {
    const now = state(control);
    if (now === was || !form.contains(control)) continue;
    const by = `[name="${CSS.escape(control.name)}"]` + (control.type === "radio" ? `[value="${CSS.escape(control.value)}"]` : "");
    const fresh = page.getElementById(form.id)?.querySelector(by);
    if (!fresh) continue;
    if (typeof now === "boolean") fresh.toggleAttribute("checked", now);
    else if (fresh.tagName === "TEXTAREA") fresh.textContent = now;
    else if (fresh.tagName === "SELECT") for (const one of fresh.options) one.toggleAttribute("selected", one.value === now);
    else fresh.setAttribute("value", now);
  }
}

async function send(form, press) {
  const body = new URLSearchParams(new FormData(form));
  body.set("!op", press);
  const response = await fetch(form.action, { method: "POST", body, credentials: "same-origin", redirect: "error" });
  if (!response.ok) throw new Error(`status ${response.status}`);
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

function put(page, id) {
  const [old, fresh] = [document.getElementById(id), page.getElementById(id)];
  if (old && fresh) return htmx.swap({ sourceElement: old, target: old, swap: "outerMorph", text: fresh.outerHTML });
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-typed-press]");
  const form = button?.form;
  if (!form?.id || !form.hasAttribute("data-typed-form") || event.defaultPrevented) return;
  event.preventDefault();
  const press = button.value;
  try {
    const before = [...form.elements].filter((one) => one.name && one.type !== "hidden").map((one) => [one, state(one)]);
    const page = await send(form, press);
    keepTyped(form, before, page);
    const open = [...form.querySelectorAll("details[id][open]")].map((one) => one.id);
    for (const id of open) page.getElementById(id)?.setAttribute("open", "");
    await put(page, form.id);
    await put(page, form.dataset.typedPreview);
    focus(press);
  } catch {
    // The server's own page says what is wrong.
    form.requestSubmit ? submitPlainly(form, press) : form.submit();
  }
});

function submitPlainly(form, press) {
  const field = Object.assign(document.createElement("input"), { type: "hidden", name: "!op", value: press });
  form.append(field);
  form.submit();
}

function focus(press) {
  const [verb, where] = [press.slice(0, press.indexOf(":")), press.slice(press.indexOf(":") + 1)];
  const list = document.getElementById(verb === "remove" ? where.slice(0, where.lastIndexOf(".")) : where);
  const rows = list?.querySelectorAll(":scope > .typed-list > .typed-row");
  const last = verb === "add" && rows?.length ? rows[rows.length - 1] : null;
  (last?.querySelector("input:not([type=hidden]), select, textarea") ?? list)?.focus();
}

let timer;
document.addEventListener("input", (event) => {
  const form = event.target.form;
  if (!form?.dataset.typedPreview) return;
  clearTimeout(timer);
  timer = setTimeout(async () => {
    try {
      await put(await send(form, "show:"), form.dataset.typedPreview);
    } catch {
      // What is shown stays as it was; the form itself is not touched.
    }
  }, PAUSE);
});

document.getElementById("error-summary")?.focus();
