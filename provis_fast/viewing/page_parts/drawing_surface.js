// Two surfaces with the same strokes: a canvas for the screen, SVG for the figure that is saved.
// Shapes are paths in SVG's own language, which canvases understand as well (Path2D).

const FIGURE_FONT = "Arial, Helvetica, sans-serif";
const SVG_NAMESPACE = "http://www.w3.org/2000/svg";

class CanvasSurface {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
  }

  // Size in CSS pixels; as many device pixels as the screen has. Clears.
  resize(width, height) {
    const ratio = window.devicePixelRatio || 1;
    const { canvas, context } = this;
    const [columns, rows] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== columns || canvas.height !== rows) {
      canvas.width = columns;
      canvas.height = rows;
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
  }

  // style: fill, stroke (colours), width, dash (lengths), opacity, cap.
  path(shape, style) {
    const { context } = this;
    const path = new Path2D(shape);
    context.globalAlpha = style.opacity ?? 1;
    if (style.fill) {
      context.fillStyle = style.fill;
      context.fill(path);
    }
    if (style.stroke) {
      context.strokeStyle = style.stroke;
      context.lineWidth = style.width ?? 1;
      context.lineCap = style.cap ?? "butt";
      context.setLineDash(style.dash ?? []);
      context.stroke(path);
    }
    context.globalAlpha = 1;
  }

  // boxes: x, y, width, height of one after the other.
  boxes(boxes, fill) {
    this.context.fillStyle = fill;
    for (let k = 0; k < boxes.length; k += 4) {
      this.context.fillRect(boxes[k], boxes[k + 1], boxes[k + 2], boxes[k + 3]);
    }
  }

  // style: size, fill, anchor (start, middle, end), weight, turn (degrees); y is the baseline.
  text(x, y, words, style = {}) {
    const { context } = this;
    context.save();
    context.font = `${style.weight ?? "normal"} ${style.size ?? 11}px ${FIGURE_FONT}`;
    context.fillStyle = style.fill ?? "#222222";
    context.textAlign = { start: "left", middle: "center", end: "right" }[style.anchor ?? "start"];
    context.textBaseline = "alphabetic";
    context.translate(x, y);
    if (style.turn) context.rotate((style.turn * Math.PI) / 180);
    context.fillText(words, 0, 0);
    context.restore();
  }

  // What `draw` draws, kept within a box.
  clipped(x, y, width, height, draw) {
    this.context.save();
    this.context.beginPath();
    this.context.rect(x, y, width, height);
    this.context.clip();
    draw();
    this.context.restore();
  }

  // Groups have names in a file only.
  group(_name, draw) {
    draw();
  }
}

class SvgSurface {
  // A figure of width x height units, `millimetres` wide in print.
  constructor(width, height, millimetres, title, description) {
    const tall = (millimetres * height) / width;
    this.root = this.#element("svg", {
      viewBox: `0 0 ${this.#round(width)} ${this.#round(height)}`,
      width: `${this.#round(millimetres)}mm`, height: `${this.#round(tall)}mm`,
      "font-family": FIGURE_FONT, role: "img",
    }, null);
    this.parent = this.root;
    this.#element("title", {}).textContent = printable(title);
    this.#element("desc", {}).textContent = printable(description);
    this.#element("rect", { width, height, fill: "#FFFFFF" });
    this.clips = 0;
  }

  #round(number) {
    return String(Math.round(number * 100) / 100);
  }

  #element(name, attributes, parent = this.parent) {
    const element = document.createElementNS(SVG_NAMESPACE, name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== undefined) {
        element.setAttribute(key, typeof value === "number" ? this.#round(value) : value);
      }
    }
    if (parent) parent.append(element);
    return element;
  }

  // As on a canvas; `name` is told by browsers that show the figure.
  path(shape, style, name) {
    const element = this.#element("path", {
      d: shape, fill: style.fill ?? "none", stroke: style.stroke,
      "stroke-width": style.stroke && (style.width ?? 1),
      "stroke-dasharray": style.dash && style.dash.join(" "),
      "stroke-linecap": style.cap, opacity: style.opacity,
    });
    if (name) this.#element("title", {}, element).textContent = printable(name);
  }

  boxes(boxes, fill) {
    const parts = [];
    for (let k = 0; k < boxes.length; k += 4) {
      const [x, y, width, height] = boxes.slice(k, k + 4);
      parts.push(`M${this.#round(x)} ${this.#round(y)}h${this.#round(width)}` +
        `v${this.#round(height)}h${this.#round(-width)}z`);
    }
    if (parts.length) this.#element("path", { d: parts.join(""), fill });
  }

  text(x, y, words, style = {}) {
    this.#element("text", {
      x, y, "font-size": style.size ?? 11, fill: style.fill ?? "#222222",
      "text-anchor": style.anchor, "font-weight": style.weight,
      transform: style.turn && `rotate(${style.turn} ${this.#round(x)} ${this.#round(y)})`,
    }).textContent = printable(words);
  }

  clipped(x, y, width, height, draw) {
    const id = `clip-${++this.clips}`;
    this.#element("rect", { x, y, width, height }, this.#element("clipPath", { id }));
    this.#within({ "clip-path": `url(#${id})` }, draw);
  }

  group(name, draw) {
    this.#within({ class: name }, draw);
  }

  #within(attributes, draw) {
    const before = this.parent;
    this.parent = this.#element("g", attributes);
    draw();
    this.parent = before;
  }

  toString() {
    const text = new XMLSerializer().serializeToString(this.root);
    return `<?xml version="1.0" encoding="UTF-8"?>\n${text}\n`;
  }
}

// Text without the characters that XML 1.0 has no way to write.
function printable(words) {
  // eslint-disable-next-line no-control-regex
  return String(words).replace(/[\u0000-\u0008\u000B\u000C\u000E-\u001F\uFFFE\uFFFF]/g, " ");
}

let measuringContext = null;

// As much of a text as fits into a width, in pixels.
function fittingWords(words, width, size = 11) {
  if (textWidth(words, size) <= width) return words;
  let length = words.length - 1;
  while (length > 1 && textWidth(`${words.slice(0, length)}…`, size) > width) length -= 1;
  return `${words.slice(0, length)}…`;
}

// Width of a text in pixels.
function textWidth(words, size = 11, weight = "normal") {
  measuringContext ??= document.createElement("canvas").getContext("2d");
  measuringContext.font = `${weight} ${size}px ${FIGURE_FONT}`;
  return measuringContext.measureText(words).width;
}
