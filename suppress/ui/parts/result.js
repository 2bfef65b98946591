// The slider moves the line between the original and the edited picture; the buttons copy the text above them.
element.addEventListener("input", (event) => {
  if (event.target.matches(".compare input")) event.target.closest(".compare").style.setProperty("--shown", `${event.target.value}%`);
});
element.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  const text = button.parentElement.querySelector("pre");
  try {
    await navigator.clipboard.writeText(text.textContent);
    button.textContent = "Copied";
  } catch {
    // without https a page may not copy by itself, except from this computer: the text is selected instead
    getSelection().selectAllChildren(text);
    button.textContent = "Selected: press Ctrl+C";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
});
