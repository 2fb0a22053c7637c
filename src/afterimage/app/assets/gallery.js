// Pictures to choose from. data: {items: [{id, src, title, notes}], chosen, style: {least, share, ratio}}; state: chosen.
const drawn = new WeakMap();

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".gallery");
  for (const [name, value] of Object.entries(data.style)) root.style.setProperty(`--${name}`, value);
  const told = JSON.stringify(data.items);
  if (drawn.get(root) !== told) {
    drawn.set(root, told);
    root.replaceChildren(...data.items.map(cell));
  }
  for (const button of root.children) {
    button.setAttribute("aria-pressed", button.dataset.id === data.chosen);
    button.onclick = () => {
      for (const other of root.children) other.setAttribute("aria-pressed", other === button);
      setStateValue("chosen", button.dataset.id);
    };
  }
}

function cell({ id, src, title, notes }) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.id = id;
  const image = Object.assign(document.createElement("img"), { src, alt: "" });
  const words = document.createElement("span");
  words.append(Object.assign(document.createElement("strong"), { textContent: title }));
  words.append(...notes.map((text) => Object.assign(document.createElement("small"), { textContent: text })));
  button.append(image, words);
  return button;
}
