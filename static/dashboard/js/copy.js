// Copy buttons: data-copy has the text, or the block of code beside the button does.

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  const text = button.dataset.copy ?? button.closest("figure")?.querySelector("code")?.textContent ?? "";
  const done = await write(text);
  button.classList.toggle("is-done", done);
  const announcer = document.querySelector("[data-announce]");
  if (announcer) announcer.textContent = done ? "Copied." : "The browser does not let this page copy.";
  setTimeout(() => button.classList.remove("is-done"), 1200);
});

async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return writeByHand(text);
  }
}

// Without TLS there is no clipboard of the modern kind.
function writeByHand(text) {
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "visually-hidden";
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}
