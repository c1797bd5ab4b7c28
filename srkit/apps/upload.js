// A button for one file. One that is too large is refused here, before it is sent.

function render({ model, el }) {
  const label = el.appendChild(document.createElement("label"));
  label.textContent = "or your own: ";
  label.style.margin = "2px 8px";
  const input = label.appendChild(document.createElement("input"));
  Object.assign(input, { type: "file", accept: "image/*" });
  input.onchange = async () => {
    const [file] = input.files;
    if (!file) return;
    const fits = file.size <= model.get("limit");
    const content = new DataView(fits ? await file.arrayBuffer() : new ArrayBuffer(0));
    model.set({ name: file.name, size: file.size, content, count: model.get("count") + 1 });
    model.save_changes();
  };
}

export default { render };
