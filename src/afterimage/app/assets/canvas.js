// Boxes and strokes over a picture. data: {image, width, height}; state: shapes, in px of the whole picture:
// {kind: "box", box: [x0, y0, x1, y1]} or {kind: "stroke", erases, width, points: [[x, y], ...]}.
const sketches = new WeakMap();
const MOST = 8;
const BOX = 75 / 256; // of the shorter side: the two boxes that most systems are measured on

export default function ({ data, parentElement, setStateValue }) {
  const canvas = parentElement.querySelector("canvas");
  const sketch = sketches.get(canvas) ?? {
    shapes: [], past: [], future: [], shape: null, tool: "box", zoom: 1, image: new Image(),
  };
  sketches.set(canvas, sketch);
  const sheet = parentElement.querySelector(".sheet");
  const brush = parentElement.querySelector("input");
  const pen = canvas.getContext("2d");
  if (sketch.image.src !== data.image) {
    sketch.image.src = data.image;
    sketch.image.onload = () => {
      canvas.width = sketch.image.naturalWidth;
      canvas.height = sketch.image.naturalHeight;
      draw();
    };
  }
  sheet.style.width = `min(100%, ${Math.max(data.width, 760)}px, min(72vh, 560px) * ${data.width / data.height})`;
  sheet.style.aspectRatio = canvas.style.aspectRatio = `${data.width} / ${data.height}`;

  function draw() {
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.drawImage(sketch.image, 0, 0, canvas.width, canvas.height);
    const scale = canvas.width / data.width;
    // Shapes are gathered opaque and laid over as one, so that they do not darken where they cross
    const layer = new OffscreenCanvas(canvas.width || 1, canvas.height || 1);
    const ink = layer.getContext("2d");
    ink.scale(scale, scale);
    ink.lineCap = ink.lineJoin = "round";
    for (const each of sketch.shape ? [...sketch.shapes, sketch.shape] : sketch.shapes) {
      ink.globalCompositeOperation = each.erases ? "destination-out" : "source-over";
      if (each.kind === "box") {
        const [x0, y0, x1, y1] = each.box;
        ink.fillRect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0));
      } else {
        ink.lineWidth = each.width;
        ink.beginPath();
        each.points.forEach(([x, y], number) => (number ? ink.lineTo(x, y) : ink.moveTo(x, y)));
        ink.lineTo(...each.points.at(-1));
        ink.stroke();
      }
    }
    ink.globalCompositeOperation = "source-in";
    ink.setTransform(1, 0, 0, 1, 0, 0);
    ink.fillStyle = ink.createPattern(checkers(), "repeat");
    ink.fillRect(0, 0, layer.width, layer.height);
    pen.drawImage(layer, 0, 0);
  }
  const offer = () => {
    for (const [name, list] of [["undo", sketch.past], ["redo", sketch.future]]) {
      parentElement.querySelector(`[data-do=${name}]`).disabled = !list.length;
    }
  };
  const told = () => { offer(); draw(); setStateValue("shapes", sketch.shapes); };
  const become = (shapes) => {
    sketch.past.push(sketch.shapes);
    sketch.future = [];
    sketch.shapes = shapes;
    told();
  };
  const back = (from, to) => {
    if (!from.length) return;
    to.push(sketch.shapes);
    sketch.shapes = from.pop();
    told();
  };
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const along = (at, start, length, size) => Math.round(Math.min(1, Math.max(0, (at - start) / length)) * size);
    return [
      along(event.clientX, box.left, box.width, data.width),
      along(event.clientY, box.top, box.height, data.height),
    ];
  };
  const twoBoxes = () => {
    const side = Math.round(Math.min(data.width, data.height) * BOX);
    const start = (length) => Math.floor(Math.random() * (length - side));
    const corners = [0, 1].map(() => [start(data.width), start(data.height)]);
    return corners.map(([x, y]) => ({ kind: "box", box: [x, y, x + side, y + side] }));
  };

  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    if (sketch.tool === "move") return;
    const [x, y] = place(event);
    const width = Math.max(1, Math.round((Number(brush.value) / 100) * Math.min(data.width, data.height)));
    const erases = sketch.tool === "eraser";
    const boxed = sketch.tool === "box";
    sketch.shape = boxed ? { kind: "box", box: [x, y, x, y] } : { kind: "stroke", erases, width, points: [[x, y]] };
    draw();
  };
  canvas.onpointermove = (event) => {
    const { shape } = sketch;
    if (sketch.tool === "move" && event.buttons) sheet.scrollBy(-event.movementX, -event.movementY);
    if (!shape) return;
    const [x, y] = place(event);
    if (shape.kind === "box") shape.box.splice(2, 2, x, y);
    else shape.points.push([x, y]);
    draw();
  };
  canvas.onpointerup = () => {
    const { shape } = sketch;
    if (!shape) return;
    sketch.shape = null;
    const empty = shape.kind === "box" && (shape.box[0] === shape.box[2] || shape.box[1] === shape.box[3]);
    if (empty) return draw();
    become([...sketch.shapes, shape]);
  };
  canvas.onpointercancel = () => { sketch.shape = null; draw(); };
  const tools = parentElement.querySelectorAll("[data-tool]");
  tools.forEach((button) => {
    button.onclick = () => {
      sketch.tool = button.dataset.tool;
      canvas.classList.toggle("move", sketch.tool === "move");
      tools.forEach((other) => other.setAttribute("aria-pressed", other === button));
    };
  });
  const change = {
    two: () => become(twoBoxes()),
    clear: () => become([]),
    undo: () => back(sketch.past, sketch.future),
    redo: () => back(sketch.future, sketch.past),
  };
  parentElement.querySelectorAll("[data-do]").forEach((button) => { button.onclick = change[button.dataset.do]; });
  const zoom = (factor) => {
    const next = Math.min(MOST, Math.max(1, sketch.zoom * factor));
    const middle = [sheet.scrollLeft + sheet.clientWidth / 2, sheet.scrollTop + sheet.clientHeight / 2];
    canvas.style.width = `${100 * next}%`;
    const [x, y] = middle.map((at) => (at * next) / sketch.zoom);
    sheet.scrollTo(x - sheet.clientWidth / 2, y - sheet.clientHeight / 2);
    sketch.zoom = next;
  };
  parentElement.querySelectorAll("[data-zoom]").forEach((button) => {
    button.onclick = () => zoom({ in: 1.5, out: 1 / 1.5 }[button.dataset.zoom]);
  });
  zoom(1);
  offer();
  if (sketch.image.complete && canvas.width) draw();
}

// What pictures show where there is nothing
function checkers() {
  const tile = new OffscreenCanvas(16, 16);
  const ink = tile.getContext("2d");
  for (const [x, y] of [[0, 0], [1, 1], [0, 1], [1, 0]]) {
    ink.fillStyle = x === y ? "rgb(255 255 255 / .88)" : "rgb(178 186 196 / .88)";
    ink.fillRect(8 * x, 8 * y, 8, 8);
  }
  return tile;
}
