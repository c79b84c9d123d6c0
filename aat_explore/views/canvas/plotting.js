// What a plot on a canvas is made of: numbers unpacked from bytes, ticks with labels, discs of pixels.

const SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹";

// --- Data ------------------------------------------------------------------------------------------------------------

// A block of bytes: the length of a JSON head, the head, then the arrays that `assembled` takes.
function unpack(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  let at = 4 + length;
  const next = (size) => bytes.subarray(at, (at += size));
  const n = head.count, flags = Math.ceil(n / 8);
  const values = next(8 * n), picked = next(flags), selected = next(flags);
  return assembled(head, { values, picked, selected, labels: next(head.classes.length ? n : 0) });
}

// A head with its arrays, each given as bytes: x and y as floats, a bit for each flag, and a byte for each label.
function assembled(head, { values, picked, selected, labels }) {
  const n = head.count, numbers = new Float32Array(values.slice().buffer); // a copy begins at its own buffer's start
  return {
    ...head,
    values: [numbers.subarray(0, n), numbers.subarray(n)],
    picked: bits(picked, n),
    selected: bits(selected, n),
    labels: head.classes.length ? labels.slice() : null,
  };
}

function bits(packed, count) {
  const flags = new Uint8Array(count);
  for (let i = 0; i < count; i++) flags[i] = (packed[i >> 3] >> (i & 7)) & 1;
  return flags;
}

// Places along an axis: the value, or its logarithm; counts are spread evenly around their whole number, because all
// samples of a count would hide each other. NaN, and what is not positive on a log axis, is nowhere.
function places(values, { log, whole }) {
  if (whole) return values.map((value, i) => value + 0.7 * ((i * 0.6180339887) % 1) - 0.35);
  if (!log) return values;
  const places = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) places[i] = values[i] > 0 ? Math.log10(values[i]) : NaN;
  return places;
}

// The range that holds all but, on a log axis, about the lowest 0.5 %: a few tiny values would take most of it. Their
// bound is that of every k-th place, because sorting 55,000 takes 10 ms.
function range(places, { log }) {
  let low = Infinity, high = -Infinity;
  for (let i = 0; i < places.length; i++) {
    if (places[i] < low) low = places[i];
    if (places[i] > high) high = places[i];
  }
  if (low > high) return [0, 1]; // nothing has a place
  if (log) {
    const every = Math.ceil(places.length / 5000);
    const some = places.filter((place, i) => i % every === 0 && !Number.isNaN(place)).sort();
    if (some.length) low = some[Math.floor(0.005 * some.length)];
  }
  const margin = high - low > 1e-6 ? 0.03 * (high - low) : 0.5;
  return [low - margin, high + margin];
}

// --- Numbers and ticks -----------------------------------------------------------------------------------------------

function text(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e-3 && size < 1e5) return Number(value.toPrecision(3)).toLocaleString("en-US", { maximumFractionDigits: 6 });
  const [digits, exponent] = value.toExponential(2).split("e");
  const short = String(Number(digits)), power = `10${raised(Number(exponent))}`;
  return short === "1" ? power : `${short}×${power}`;
}

function raised(exponent) {
  return (exponent < 0 ? "⁻" : "") + [...String(Math.abs(exponent))].map((digit) => SUPERSCRIPT[digit]).join("");
}

function even(low, high, most) {
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((step) => step >= rough);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) ticks.push(k * step);
  const decimals = Math.min(12, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
  const label = (value) => (Math.abs(value) < step / 1e6 ? "0" : decimals > 4 ? text(value)
    : value.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }));
  return ticks.map((value) => [value, label(value)]);
}

// Ticks as [place, label]; on a log axis whole decades, with 2 and 5 between them where there is room.
function ticks(low, high, { log, whole }, most) {
  if (whole) return even(low, high, most).filter(([value]) => Number.isInteger(value)).map(([value]) => [value, text(value)]);
  if (!log) return even(low, high, most);
  if (high - low < 0.9) return even(10 ** low, 10 ** high, most).map(([value, label]) => [Math.log10(value), label]);
  const step = Math.max(1, Math.ceil((high - low) / most));
  const between = (high - low) * 3 <= most ? [1, 2, 5] : [1];
  const found = [];
  for (let k = Math.floor(low); k <= high; k++) {
    if (((k % step) + step) % step) continue;
    for (const digit of between) {
      const place = k + Math.log10(digit);
      if (place >= low && place <= high) found.push([place, text(digit * 10 ** k)]);
    }
  }
  return found;
}

// --- Pixels ----------------------------------------------------------------------------------------------------------

function colour(css) {
  const pen = colour.pen ??= document.createElement("canvas").getContext("2d");
  pen.fillStyle = "#808080";
  pen.fillStyle = css.trim();
  const hex = pen.fillStyle;
  return hex.startsWith("#") ? [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16))
    : hex.match(/[\d.]+/g).slice(0, 3).map(Number);
}

// A disc as pixels around its centre: columns and rows from it, and how much of the pixel it covers.
function disc(radius) {
  const pixels = [], reach = Math.ceil(radius + 0.5);
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      const cover = Math.min(1, radius + 0.5 - Math.hypot(dx, dy));
      if (cover > 0) pixels.push([dx, dy, cover]);
    }
  }
  const along = (at) => Float32Array.from(pixels, (pixel) => pixel[at]);
  return { dx: Int32Array.from(along(0)), dy: Int32Array.from(along(1)), cover: along(2), reach };
}

function stamp({ data, width, height }, x, y, { dx, dy, cover, reach }, ink, alpha) {
  const r = ink[0], g = ink[1], b = ink[2];
  const whole = x >= reach && y >= reach && x < width - reach && y < height - reach;
  for (let k = 0; k < cover.length; k++) {
    const column = x + dx[k], row = y + dy[k];
    if (!whole && (column < 0 || row < 0 || column >= width || row >= height)) continue;
    const at = 4 * (row * width + column), share = alpha * cover[k];
    data[at] += (r - data[at]) * share;
    data[at + 1] += (g - data[at + 1]) * share;
    data[at + 2] += (b - data[at + 2]) * share;
  }
}
