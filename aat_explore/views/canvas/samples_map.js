// All samples as points on a canvas: zoom, pan, hover, lasso. In one script, between plotting.js and what puts it on a
// page: `tell("selected", { rows, time })` and `tell("clicked", row)` report what the user does.

const LEFT = 66, RIGHT = 12, TOP = 8, BOTTOM = 44;
const NEAR = 12; // pixels within which the pointer means a point
const TWEEN = 80; // milliseconds that points take to move to where the next epoch has them
const CLICK = 4; // pixels that a click may move
const DOUBLE = 250; // milliseconds within which a second click makes a double click

// --- The map ---------------------------------------------------------------------------------------------------------

class SamplesMap {
  constructor(root, tell) {
    this.root = root;
    this.tell = tell;
    this.points = root.querySelector(".points");
    this.over = root.querySelector(".over");
    this.tip = root.querySelector(".tip");
    this.readout = root.querySelector(".readout");
    this.lassoing = false; // what a plain drag does
    this.hovered = -1;
    this.listen();
    new ResizeObserver(() => this.data && this.draw()).observe(this.over);
  }

  update(data) {
    const before = this.data;
    if (before?.stamp === data.stamp) return;
    const same = before && before.key === data.key && before.count === data.count;
    const old = same && [this.at[0].slice(), this.at[1].slice()];
    const goal = [0, 1].map((axis) => places(data.values[axis], data.axes[axis]));
    const ranges = [0, 1].map((axis) => range(goal[axis], data.axes[axis]));
    const whole = !same || this.view.every(([low, high], axis) => this.whole[axis][0] === low && this.whole[axis][1] === high);
    // While epochs play, axes grow and never jump back.
    this.whole = same ? ranges.map(([low, high], k) => [Math.min(low, this.whole[k][0]), Math.max(high, this.whole[k][1])]) : ranges;
    if (whole) this.view = this.whole.map((ends) => [...ends]);
    this.data = data;
    this.goal = goal;
    this.describe();
    const still = !same || matchMedia("(prefers-reduced-motion: reduce)").matches ||
      goal.every((places, axis) => places.every((place, i) => place === old[axis][i] || Number.isNaN(place)));
    cancelAnimationFrame(this.frame);
    if (still) this.arrive();
    else this.move(old, performance.now());
  }

  arrive() {
    this.at = this.goal;
    this.draw();
    this.root.dataset.stamp = this.data.stamp;
  }

  move(old, start) {
    const step = (now) => {
      const share = Math.min(1, Math.max(0, (now - start) / TWEEN)), eased = share * (2 - share);
      if (share === 1) return this.arrive();
      this.at = this.goal.map((places, axis) => places.map((place, i) => {
        const from = old[axis][i];
        return Number.isNaN(from) ? place : from + eased * (place - from);
      }));
      this.draw();
      this.frame = requestAnimationFrame(step);
    };
    this.at = old; // the picks light up at once, then all points move
    this.draw();
    this.frame = requestAnimationFrame(step);
  }

  describe() {
    const { alt, legend } = this.data;
    this.over.setAttribute("aria-label", `${alt} Arrow keys move the view, + and − zoom, 0 shows all; Enter opens the `
      + "point nearest to the centre, s selects the points in view.");
    const keys = legend.map(([label, css]) => {
      const key = document.createElement("span"), mark = document.createElement("i");
      mark.style.background = css;
      key.append(mark, label);
      return key;
    });
    this.root.querySelector(".legend").replaceChildren(...keys);
  }

  // Screen pixels of a place, by axis; y points up.
  scale(axis) {
    const [low, high] = this.view[axis];
    const [start, end] = axis ? [this.height - BOTTOM, TOP] : [LEFT, this.width - RIGHT];
    return [(end - start) / (high - low), start - (low * (end - start)) / (high - low)];
  }

  draw() {
    const dpr = window.devicePixelRatio || 1, box = this.over.getBoundingClientRect();
    if (!box.width || !box.height) return;
    [this.width, this.height] = [box.width, box.height];
    for (const canvas of [this.points, this.over]) {
      const [w, h] = [Math.round(box.width * dpr), Math.round(box.height * dpr)];
      if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    }
    const { count, picked, selected, labels, colours } = this.data;
    const [left, right, top, bottom] = [LEFT, this.width - RIGHT, TOP, this.height - BOTTOM];
    const width = Math.max(1, Math.round((right - left) * dpr)), height = Math.max(1, Math.round((bottom - top) * dpr));
    const pen = this.points.getContext("2d");
    const image = new ImageData(width, height), ground = colour(getComputedStyle(this.root).getPropertyValue("--map-ground") || "#fff");
    new Uint32Array(image.data.buffer).fill((255 << 24) | (ground[2] << 16) | (ground[1] << 8) | ground[0]);
    const [[ax, bx], [ay, by]] = [this.scale(0), this.scale(1)], [u, v] = this.at;
    const px = (this.px = new Float32Array(count)), py = (this.py = new Float32Array(count));
    let inView = 0;
    for (let i = 0; i < count; i++) {
      px[i] = u[i] * ax + bx;
      py[i] = v[i] * ay + by;
      if (px[i] >= left && px[i] <= right && py[i] >= top && py[i] <= bottom) inView++;
      else px[i] = NaN; // outside the frame, or nowhere
    }
    const zoom = (this.whole[0][1] - this.whole[0][0]) / (this.view[0][1] - this.view[0][0]);
    const radius = dpr * Math.min(4, Math.min(3.2, Math.max(1.2, 150 / Math.sqrt(count))) * Math.max(1, zoom) ** 0.35);
    // Few picks stand out by their size; 10,000 would cover everything.
    const extra = dpr * Math.min(0.8, 800 / Math.max(1, picked.reduce((sum, is) => sum + is, 0)));
    const discs = { small: disc(radius), large: disc(radius + extra), halo: disc(radius + 2.4 * dpr) };
    const all = colour(colours.all), pick = colour(colours.picked), halo = colour(colours.selected);
    const classes = labels && colours.classes?.map(colour);
    const each = (act) => {
      for (let i = 0; i < count; i++) {
        if (px[i] === px[i]) act(i, Math.round((px[i] - left) * dpr), Math.round((py[i] - top) * dpr));
      }
    };
    each((i, x, y) => {
      if (!picked[i] && !selected[i]) stamp(image, x, y, discs.small, classes ? classes[labels[i] % classes.length] : all, classes ? 0.25 : 0.5);
    });
    const mark = (i, x, y) => {
      const ink = classes ? classes[labels[i] % classes.length] : picked[i] ? pick : all;
      stamp(image, x, y, picked[i] ? discs.large : discs.small, ink, selected[i] || classes ? 1 : 0.75);
    };
    each((i, x, y) => {
      if (picked[i] && !selected[i]) mark(i, x, y);
    });
    each((i, x, y) => {
      if (!selected[i]) return;
      stamp(image, x, y, discs.halo, halo, 1);
      mark(i, x, y);
    });
    pen.clearRect(0, 0, this.points.width, this.points.height);
    pen.putImageData(image, Math.round(left * dpr), Math.round(top * dpr));
    this.readout.textContent = `${inView.toLocaleString("en-US")} of ${count.toLocaleString("en-US")} in view`;
    this.root.dataset.epoch = this.data.epoch;
    this.cover();
  }

  // Axes, the point under the pointer and the lasso, over the points.
  cover() {
    const dpr = window.devicePixelRatio || 1, pen = this.over.getContext("2d"), style = getComputedStyle(this.root);
    const ink = style.getPropertyValue("--map-ink").trim() || "#333";
    const [left, right, top, bottom] = [LEFT, this.width - RIGHT, TOP, this.height - BOTTOM];
    pen.setTransform(dpr, 0, 0, dpr, 0, 0);
    pen.clearRect(0, 0, this.width, this.height);
    pen.strokeStyle = pen.fillStyle = ink;
    pen.lineWidth = 1;
    const family = style.getPropertyValue("--map-font") || "sans-serif";
    pen.font = `11px ${family}`;
    const line = (x0, y0, x1, y1, alpha) => {
      pen.globalAlpha = alpha;
      pen.beginPath();
      pen.moveTo(x0, y0);
      pen.lineTo(x1, y1);
      pen.stroke();
      pen.globalAlpha = 1;
    };
    for (const axis of [0, 1]) {
      const [a, b] = this.scale(axis), room = axis ? (bottom - top) / 38 : (right - left) / 75;
      pen.textAlign = axis ? "right" : "center";
      pen.textBaseline = axis ? "middle" : "top";
      for (const [place, label] of ticks(...this.view[axis], this.data.axes[axis], Math.max(2, room))) {
        const at = Math.round(place * a + b) + 0.5;
        line(...(axis ? [left, at, right, at] : [at, top, at, bottom]), 0.1);
        line(...(axis ? [left - 4, at, left, at] : [at, bottom, at, bottom + 4]), 0.6);
        pen.fillText(label.replace("-", "−"), axis ? left - 7 : at, axis ? at : bottom + 7);
      }
    }
    line(left - 0.5, top, left - 0.5, bottom + 0.5, 0.6);
    line(left - 0.5, bottom + 0.5, right, bottom + 0.5, 0.6);
    pen.font = `12px ${family}`;
    pen.textAlign = "center";
    pen.textBaseline = "bottom";
    pen.fillText(this.data.axes[0].title, (left + right) / 2, this.height - 3);
    pen.rotate(-Math.PI / 2);
    pen.textBaseline = "top";
    pen.fillText(this.data.axes[1].title, -(top + bottom) / 2, 3);
    pen.rotate(Math.PI / 2);
    if (this.hovered >= 0 && this.px[this.hovered] === this.px[this.hovered]) {
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(this.px[this.hovered], this.py[this.hovered], 6, 0, 2 * Math.PI);
      pen.stroke();
    }
    if (this.lasso?.length > 1) {
      pen.strokeStyle = pen.fillStyle = style.getPropertyValue("--map-accent").trim() || "#1f6fd8";
      pen.lineWidth = 1.5;
      pen.beginPath();
      for (const [x, y] of this.lasso) pen.lineTo(x, y);
      pen.closePath();
      pen.stroke();
      pen.globalAlpha = 0.12;
      pen.fill();
      pen.globalAlpha = 1;
    }
  }

  // --- Pointer and keys ----------------------------------------------------------------------------------------------

  nearest(x, y, within) {
    let best = within * within, found = -1;
    for (let i = 0; i < this.px.length; i++) {
      const dx = this.px[i] - x, dy = this.py[i] - y, distance = dx * dx + dy * dy;
      if (distance < best) [best, found] = [distance, i]; // NaN is never smaller
    }
    return found;
  }

  hover(row) {
    this.hovered = row;
    this.cover();
    this.tip.hidden = row < 0;
    if (row < 0) return;
    const { values, axes, classes, labels, picked, selected, epoch } = this.data;
    const what = [`#${row}`, labels && classes[labels[row]], `${picked[row] ? "picked" : "not picked"} in epoch ${epoch}`, selected[row] && "selected"];
    const lines = [what.filter(Boolean).join(" · "), ...axes.map(({ title }, axis) => `${title}: ${text(values[axis][row])}`)];
    this.tip.replaceChildren(...lines.map((line) => Object.assign(document.createElement("div"), { textContent: line })));
    const [x, y] = [this.px[row], this.py[row]];
    this.tip.style.left = `${Math.max(0, Math.min(x + 12, this.width - this.tip.offsetWidth - 4))}px`;
    this.tip.style.top = `${y + 14 + this.tip.offsetHeight < this.height ? y + 14 : Math.max(0, y - 14 - this.tip.offsetHeight)}px`;
  }

  zoom(factor, x, y) {
    const view = [x, y].map((at, axis) => {
      const [a, b] = this.scale(axis), place = (at - b) / a;
      return this.view[axis].map((end) => place + (end - place) * factor);
    });
    const sizes = view.map(([low, high], axis) => (high - low) / (this.whole[axis][1] - this.whole[axis][0]));
    if (sizes.some((size) => size < 1e-4 || size > 4)) return;
    this.view = view;
    this.redraw();
  }

  pan(dx, dy) {
    for (const [axis, by] of [[0, dx], [1, dy]]) {
      const [a] = this.scale(axis);
      this.view[axis] = this.view[axis].map((end) => end - by / a);
    }
    this.redraw();
  }

  all() {
    this.view = this.whole.map((ends) => [...ends]);
    this.redraw();
  }

  redraw() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      this.draw();
    });
  }

  inside(polygon) {
    const xs = polygon.map(([x]) => x), ys = polygon.map(([, y]) => y), rows = [];
    const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    for (let i = 0; i < this.px.length; i++) {
      const x = this.px[i], y = this.py[i];
      if (!(x >= x0 && x <= x1 && y >= y0 && y <= y1)) continue;
      let odd = false;
      for (let j = 0, k = polygon.length - 1; j < polygon.length; k = j++) {
        const [xj, yj] = polygon[j], [xk, yk] = polygon[k];
        if (yj > y !== yk > y && x < ((xk - xj) * (y - yj)) / (yk - yj) + xj) odd = !odd;
      }
      if (odd) rows.push(i);
    }
    return rows;
  }

  selectedRows() {
    const rows = [];
    this.data.selected.forEach((is, row) => is && rows.push(row));
    return rows;
  }

  select(rows, adding) {
    const chosen = adding ? [...new Set([...this.selectedRows(), ...rows])] : rows;
    this.tell("selected", { rows: chosen, time: Date.now() });
  }

  listen() {
    const over = this.over, at = (event) => {
      const box = over.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    over.onpointerdown = (event) => {
      if (event.button || !this.data) return;
      over.setPointerCapture(event.pointerId);
      const lassoes = this.lassoing || event.shiftKey || event.altKey;
      this.drag = { start: at(event), last: at(event), lassoes, moved: false };
      this.lasso = lassoes ? [at(event)] : null;
    };
    over.onpointermove = (event) => {
      if (!this.data) return;
      const [x, y] = at(event), drag = this.drag;
      if (!drag) return this.hover(this.nearest(x, y, NEAR));
      drag.moved ||= Math.hypot(x - drag.start[0], y - drag.start[1]) > CLICK;
      if (!drag.moved) return;
      if (drag.lassoes) {
        this.lasso.push([x, y]);
        this.cover();
      } else this.pan(x - drag.last[0], y - drag.last[1]);
      drag.last = [x, y];
    };
    over.onpointerup = (event) => {
      const drag = this.drag, lasso = this.lasso;
      this.drag = this.lasso = null;
      if (!drag) return;
      if (drag.moved && lasso) this.select(this.inside(lasso), event.ctrlKey || event.metaKey);
      if (drag.moved) return this.cover();
      const row = this.nearest(...at(event), NEAR);
      if (row < 0) return;
      if (!event.shiftKey && !event.ctrlKey && !event.metaKey) {
        clearTimeout(this.click); // a double click shows all and opens nothing
        this.click = setTimeout(() => this.tell("clicked", row), DOUBLE);
        return;
      }
      this.select(this.data.selected[row] ? this.selectedRows().filter((other) => other !== row) : [row], !this.data.selected[row]);
    };
    over.onpointercancel = () => (this.drag = this.lasso = null);
    over.onpointerleave = () => !this.drag && this.data && this.hover(-1);
    over.ondblclick = () => {
      clearTimeout(this.click);
      this.all();
    };
    over.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 300))), ...at(event));
    }, { passive: false });
    over.onkeydown = (event) => this.press(event);
    over.onblur = () => this.data && this.hover(-1);
    const act = { in: () => this.zoom(0.7, ...this.centre()), out: () => this.zoom(1 / 0.7, ...this.centre()), all: () => this.all() };
    this.root.querySelector(".bar").onclick = (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      if (button.dataset.act !== "lasso") return act[button.dataset.act]();
      this.lassoing = !this.lassoing;
      button.setAttribute("aria-pressed", this.lassoing);
      over.style.cursor = this.lassoing ? "crosshair" : "";
    };
  }

  centre() {
    return [(LEFT + this.width - RIGHT) / 2, (TOP + this.height - BOTTOM) / 2];
  }

  press(event) {
    if (!this.px) return; // not drawn yet
    if (event.shiftKey && event.key !== "+" || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 60, actions = {
      ArrowLeft: () => this.pan(step, 0), ArrowRight: () => this.pan(-step, 0),
      ArrowUp: () => this.pan(0, step), ArrowDown: () => this.pan(0, -step),
      "+": () => this.zoom(0.7, ...this.centre()), "-": () => this.zoom(1 / 0.7, ...this.centre()),
      "=": () => this.zoom(0.7, ...this.centre()), 0: () => this.all(),
      s: () => this.select([...this.px.keys()].filter((row) => this.px[row] === this.px[row]), false),
      Enter: () => this.hovered >= 0 && this.tell("clicked", this.hovered),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    actions[event.key]();
    if (event.key !== "Enter" && event.key !== "s") {
      requestAnimationFrame(() => requestAnimationFrame(() => this.hover(this.nearest(...this.centre(), Infinity))));
    }
  }
}
