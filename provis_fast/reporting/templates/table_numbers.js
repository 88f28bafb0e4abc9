"use strict";

/* Columns of numbers as they are embedded, and numbers as a reader sees them; for table.js. */

const LN10 = Math.log(10);
const GROUPED = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

async function unpackColumns(table) {
  const text = atob(table.packed);
  const zipped = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  const stream = new Blob([zipped]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const columns = {};
  let offset = 0;
  for (const { key, dtype } of table.layout) {
    const made = { float32: Float32Array, float64: Float64Array, uint16: Uint16Array, uint32: Uint32Array }[dtype];
    const width = made.BYTES_PER_ELEMENT;
    const raw = new Uint8Array(table.rows * width);
    // Bytes of one significance stand together, which zips better.
    for (let byte = 0; byte < width; byte++)
      for (let row = 0; row < table.rows; row++) raw[row * width + byte] = bytes[offset++];
    columns[key] = new made(raw.buffer);
  }
  return columns;
}

function significant(value, digits) {
  if (!Number.isFinite(value)) return "";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(digits - 1);
  return size >= 10 ** digits ? GROUPED.format(value) : String(Number(value.toPrecision(digits)));
}

function percent(value, sign = "%") {
  if (Number.isNaN(value)) return "";
  const size = Math.abs(100 * value);
  return (100 * value).toFixed(size !== 0 && size < 0.95 ? 2 : 1) + sign;
}

/** A p-value from its natural logarithm, which is kept because p itself may be too small for a number. */
function fromLog(log) {
  if (Number.isNaN(log)) return "";
  if (log > Math.log(0.001)) return Number(Math.exp(log).toPrecision(2)).toString();
  if (log === -Infinity) return "0";
  let exponent = Math.floor(log / LN10);
  let mantissa = Math.exp(log - exponent * LN10).toFixed(1);
  if (mantissa === "10.0") [mantissa, exponent] = ["1.0", exponent + 1];
  return `${mantissa}e${exponent}`;
}

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
