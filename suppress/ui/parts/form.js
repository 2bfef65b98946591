// What is typed is kept as text, by the setting's name. Another method brings another form, with its own defaults.
element.addEventListener("input", (event) => {
  const box = event.target;
  const text = box.type === "checkbox" ? String(box.checked) : box.value;
  props.value = { ...props.value, values: { ...props.value.values, [box.name]: text } };
});
watch("value", () => {
  for (const field of props.value.fields) {
    const box = element.querySelector(`[name="${field.name}"]`);
    if (box.type === "checkbox") box.checked = field.value === "true";
    else box.value = field.value;
  }
});
