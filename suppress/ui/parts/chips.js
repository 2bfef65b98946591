// A click, Enter or the space bar on a word chooses it or lets it stay. What a person has clicked holds as long as the
// word is there: an answer of the server that was on its way does not undo it.
const clicks = new Map(); // "hat 2" -> whether it was chosen

function choose(value, chip, on) {
  const others = value.chosen.filter(([text, number]) => text.toLowerCase() !== chip.text.toLowerCase() || number !== chip.number);
  return { ...value, chosen: on ? [...others, [chip.text, chip.number]] : others };
}

element.addEventListener("click", (event) => {
  const button = event.target.closest("button.chip");
  if (!button) return;
  const chip = props.value.chips[Number(button.dataset.index)];
  const on = button.getAttribute("aria-pressed") !== "true";
  clicks.set(`${chip.text.toLowerCase()} ${chip.number}`, on);
  props.value = choose(props.value, chip, on);
});

watch("value", () => {
  const chips = new Map(props.value.chips.filter((chip) => chip.open).map((chip) => [`${chip.text.toLowerCase()} ${chip.number}`, chip]));
  let value = props.value;
  for (const [key, on] of clicks) {
    if (chips.has(key)) value = choose(value, chips.get(key), on);
    else clicks.delete(key);
  }
  if (clicks.size) props.value = value;
});
