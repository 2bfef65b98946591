// A click, Enter or the space bar on a word chooses it or lets it stay.
element.addEventListener("click", (event) => {
  const button = event.target.closest("button.chip");
  if (!button) return;
  const chip = props.value.chips[Number(button.dataset.index)];
  const same = ([text, number]) => text.toLowerCase() === chip.text.toLowerCase() && number === chip.number;
  const chosen = props.value.chosen;
  props.value = { ...props.value, chosen: chosen.some(same) ? chosen.filter((one) => !same(one)) : [...chosen, [chip.text, chip.number]] };
});
