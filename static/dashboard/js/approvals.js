// a: give the first answer of the question, after a look at what it says.

const dialog = document.getElementById("confirm-approve");

function ask() {
  const button = document.querySelector("form.answer [data-approve]");
  if (!button || !dialog || dialog.open) return false;
  const label = button.textContent.trim();
  dialog.querySelector("[data-label]").textContent = `${label}?`;
  dialog.querySelector("[data-label-button]").textContent = label;
  dialog.querySelector("[data-question]").textContent = button.dataset.approve;
  dialog.querySelector("[data-yes]").onclick = () => {
    dialog.close();
    button.form.requestSubmit(button);
  };
  dialog.showModal();
  return true;
}

dialog?.querySelector("[data-no]").addEventListener("click", () => dialog.close());

document.addEventListener("keydown", (event) => {
  if (event.key !== "a" || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.("input, textarea, select, [contenteditable], dialog[open]")) return;
  if (ask()) event.preventDefault();
});
