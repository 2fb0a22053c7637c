// Two pictures under one divider, with zoom. data: {before, after, labels: [before, after], width, height} in px.
const views = new WeakMap();
const MOST = 16;
const KEYS = { ArrowLeft: -5, ArrowDown: -5, ArrowRight: 5, ArrowUp: 5 }; // % that the divider moves by

export default function ({ data, parentElement }) {
  const view = parentElement.querySelector(".view");
  // A new rendering, such as one at another intensity, keeps the place that the visitor looks at
  const state = views.get(view) ?? { divide: 50, zoom: 1, x: 0, y: 0, from: null };
  views.set(view, state);
  const find = (selector) => parentElement.querySelector(selector);
  const images = [find(".before img"), find(".after img")];
  const labels = [find(".before .label"), find(".after .label")];
  const [slider, handle, shown] = [find("input"), find(".handle"), find("output")];
  [data.before, data.after].forEach((src, side) => { if (images[side].src !== src) images[side].src = src; });
  labels.forEach((label, side) => { label.textContent = images[side].alt = data.labels[side]; });
  view.style.aspectRatio = `${data.width} / ${data.height}`;
  view.style.width = `min(100%, ${Math.max(data.width, 760)}px, min(72vh, 560px) * ${data.width / data.height})`;

  const draw = () => {
    const { clientWidth: width, clientHeight: height } = view;
    state.x = Math.min(0, Math.max(width * (1 - state.zoom), state.x));
    state.y = Math.min(0, Math.max(height * (1 - state.zoom), state.y));
    const move = `translate(${state.x}px, ${state.y}px) scale(${state.zoom})`;
    images.forEach((image) => { image.style.transform = move; });
    find(".after").style.clipPath = `inset(0 0 0 ${state.divide}%)`;
    find(".before").style.clipPath = `inset(0 ${100 - state.divide}% 0 0)`;
    handle.style.left = `${state.divide}%`;
    slider.value = state.divide;
    slider.setAttribute("aria-valuetext", `${Math.round(state.divide)} % ${data.labels[0]}`);
    const scale = (width * state.zoom) / data.width;
    view.classList.toggle("zoomed", state.zoom > 1);
    view.classList.toggle("crisp", scale >= 2);
    shown.textContent = `${Math.round(scale * 100)} %`;
  };
  const zoom = (factor, x = view.clientWidth / 2, y = view.clientHeight / 2) => {
    const next = Math.min(MOST, Math.max(1, state.zoom * factor));
    state.x = x - ((x - state.x) * next) / state.zoom;
    state.y = y - ((y - state.y) * next) / state.zoom;
    state.zoom = next;
    draw();
  };
  const divide = (share) => {
    state.divide = Math.min(100, Math.max(0, share));
    draw();
  };
  const divideAt = (x) => divide((100 * x) / view.clientWidth);
  const place = (event) => {
    const box = view.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  slider.oninput = () => divide(Number(slider.value));
  slider.onkeydown = (event) => {
    if (!(event.key in KEYS)) return;
    event.preventDefault();
    divide(state.divide + KEYS[event.key]);
  };
  parentElement.querySelectorAll("[data-zoom]").forEach((button) => {
    button.onclick = () => zoom({ in: 1.5, out: 1 / 1.5, fit: 0 }[button.dataset.zoom]);
  });
  view.ondblclick = (event) => zoom(2, ...place(event));
  view.onwheel = (event) => {
    if (!event.ctrlKey && !event.metaKey && state.zoom === 1) return; // the page scrolls
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, ...place(event));
  };
  view.onpointerdown = (event) => {
    const dividing = event.target === handle || state.zoom === 1;
    state.from = { dividing, x: event.clientX - state.x, y: event.clientY - state.y };
    view.setPointerCapture(event.pointerId);
    if (dividing) divideAt(place(event)[0]);
  };
  view.onpointermove = (event) => {
    if (!state.from) return;
    if (state.from.dividing) divideAt(place(event)[0]);
    else {
      [state.x, state.y] = [event.clientX - state.from.x, event.clientY - state.from.y];
      draw();
    }
  };
  view.onpointerup = view.onpointercancel = () => { state.from = null; };

  const watch = new ResizeObserver(draw);
  watch.observe(view);
  draw();
  return () => watch.disconnect();
}
