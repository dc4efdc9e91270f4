"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const pairColour = (i) => `var(--c${Math.max(i, 0) % 9})`;
const redraws = [];

function make(tag, attributes = {}, ...children) {
  const inSvg = ["svg", "path", "line", "text", "circle", "rect", "g"].includes(tag);
  const node = inSvg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function number(x) {
  if (!Number.isFinite(x)) return "–";
  const size = Math.abs(x);
  if (size > 0 && (size < 0.001 || size >= 10000)) return x.toExponential(1).replaceAll("-", "−").replace("e+", "e");
  return x.toPrecision(3).replace("-", "−");
}
const tickLabel = (x) => (x && (Math.abs(x) < 0.001 || Math.abs(x) >= 1e5) ? (+x.toPrecision(3)).toExponential() : String(+x.toPrecision(3))).replace("-", "−").replace("e-", "e−").replace("e+", "e");

// One stop for Tab, arrows inside: 64 heads must not be 64 tab stops.
function roving(group) {
  group.addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!move) return;
    event.preventDefault();
    const all = [...group.children], next = all[all.indexOf(document.activeElement) + move];
    if (next) { next.focus(); next.click(); }
  });
}
const press = (group, index) => [...group.children].forEach((button, i) => {
  button.setAttribute("aria-pressed", i === index);
  button.tabIndex = i === index ? 0 : -1;
});
function choice(group, names, chosen) {
  group.replaceChildren(...names.map((name, i) => {
    const button = make("button", { type: "button" }, name);
    button.addEventListener("click", () => { press(group, i); chosen(i); });
    return button;
  }));
  roving(group);
  press(group, 0);
}

function ticks(low, high, log) {
  if (log) {
    const all = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
      for (const m of Math.log10(high / low) < 2.2 ? [1, 2, 5] : [1]) all.push(m * 10 ** e);
    return all.filter((t) => t >= low && t <= high);
  }
  const rough = (high - low) / 4 || 1, unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * [1, 2, 5, 10].find((m) => m * unit >= rough * 0.999);
  const all = [];
  for (let i = Math.ceil(low / step); i * step <= high * 1.0001; i++) all.push(i * step);
  return all;
}

// lines: [{ name, colour, raw, smooth?, dots?: [[x, y]], hidden }]; the chart reads `spec.log` and `hidden` at each draw.
function lineChart(host, spec) {
  let at = null, locked = false, frame = null;
  const root = make("svg", { height: spec.height, tabindex: 0, role: "img", "aria-label": spec.label });
  const tip = make("div", { class: "tip", "aria-live": "polite", hidden: "" });
  host.append(root, tip);
  const isGood = (v) => Number.isFinite(v) && (!spec.log || v > 0);

  function draw() {
    const width = host.clientWidth, [left, right, top, bottom] = [50, 14, 10, 26];
    const lines = spec.lines.filter((line) => !line.hidden);
    const values = lines.flatMap((l) => [...l.raw, ...(l.dots || []).map((dot) => dot[1])]).filter(isGood);
    root.replaceChildren();
    root.setAttribute("viewBox", `0 0 ${width} ${spec.height}`);
    if (!values.length || !width) {
      root.append(make("text", { x: left, y: spec.height / 2 }, "Nothing to draw on this scale."));
      frame = null;
      return void hover();
    }
    let high = values.reduce((a, b) => Math.max(a, b)), low = values.reduce((a, b) => Math.min(a, b), spec.log ? Infinity : 0);
    if (high <= low) { high = low + (Math.abs(low) || 1); low = spec.log ? low / 2 : low; }
    const dotted = spec.lines.flatMap((line) => (line.dots || []).map((dot) => dot[0]));
    const first = Math.min(spec.xs[0], ...dotted), last = Math.max(spec.xs[spec.xs.length - 1], ...dotted);
    const x = (v) => last > first ? left + (width - left - right) * (v - first) / (last - first) : (left + width - right) / 2;
    const f = spec.log ? Math.log : (v) => v;
    const y = (v) => top + (spec.height - top - bottom) * (1 - (f(v) - f(low)) / (f(high) - f(low)));
    for (const t of ticks(low, high, spec.log)) root.append(
      make("line", { class: "grid", x1: left, x2: width - right, y1: y(t), y2: y(t) }),
      make("text", { x: left - 8, y: y(t) + 4, "text-anchor": "end" }, tickLabel(t)));
    for (const t of ticks(first, last, false)) if (t >= first && Number.isInteger(t)) root.append(
      make("text", { x: x(t), y: spec.height - 6, "text-anchor": x(t) > width - 40 ? "end" : "middle" }, t.toLocaleString("en")));
    const path = (values) => values.map((v, i) => isGood(v) ? `${i && isGood(values[i - 1]) ? "L" : "M"}${x(spec.xs[i]).toFixed(1)} ${y(v).toFixed(1)}` : "").join("");
    const stroke = (values, line, more) => root.append(make("path", { d: path(values), fill: "none", style: `stroke:${line.colour}`, "stroke-linejoin": "round", "stroke-linecap": "round", ...more }));
    for (const line of lines) if (line.smooth) stroke(line.raw, line, { "stroke-width": 1, opacity: 0.28 });
    for (const line of lines) {
      stroke(line.smooth || line.raw, line, { "stroke-width": 2.2 });
      if (spec.xs.length === 1 && isGood(line.raw[0])) root.append(make("circle", { cx: x(spec.xs[0]), cy: y(line.raw[0]), r: 4, style: `fill:${line.colour}` }));
      for (const [step, v] of line.dots || []) if (isGood(v))
        root.append(make("circle", { cx: x(step), cy: y(v), r: 4, style: `fill:var(--card);stroke:${line.colour}`, "stroke-width": 2 }));
    }
    const cursor = make("g");
    root.append(cursor);
    frame = { width, x, y, cursor, lines, top, bottom: spec.height - bottom };
    hover();
  }

  function hover() {
    tip.hidden = at === null || !frame;
    if (frame) frame.cursor.replaceChildren();
    if (tip.hidden) return;
    const { x, y, cursor, lines, width } = frame, px = x(spec.xs[at]);
    cursor.append(make("line", { x1: px, x2: px, y1: frame.top, y2: frame.bottom, style: "stroke:var(--muted)", "stroke-dasharray": locked ? "none" : "3 3" }));
    const rows = lines.map((line) => {
      const value = (line.smooth || line.raw)[at];
      if (isGood(value)) cursor.append(make("circle", { cx: px, cy: y(value), r: 4, style: `fill:${line.colour}` }));
      const shown = line.smooth ? `${number(line.smooth[at])} (${number(line.raw[at])})` : number(value);
      return make("div", {}, make("span", {}, make("i", { style: `--key:${line.colour}` }), line.name), make("b", {}, shown));
    });
    tip.replaceChildren(make("div", {}, `step ${spec.xs[at].toLocaleString("en")}`, locked ? "locked" : ""), ...rows);
    tip.style.left = px < width / 2 ? `${Math.min(px + 12, width - tip.offsetWidth)}px` : `${Math.max(px - 12 - tip.offsetWidth, 0)}px`;
  }
  function nearest(event) {
    if (!frame) return null;
    const px = event.clientX - root.getBoundingClientRect().left;
    return spec.xs.reduce((best, v, i) => Math.abs(frame.x(v) - px) < Math.abs(frame.x(spec.xs[best]) - px) ? i : best, 0);
  }
  root.addEventListener("pointermove", (event) => { if (!locked) { at = nearest(event); hover(); } });
  root.addEventListener("pointerleave", () => { if (!locked) { at = null; hover(); } });
  root.addEventListener("click", (event) => { locked = !locked; at = nearest(event); hover(); });
  root.addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (move && frame) { at = Math.max(0, Math.min(spec.xs.length - 1, (at ?? 0) + move * (event.shiftKey ? 20 : 1))); locked = true; }
    else if (event.key === "Escape") { locked = false; at = null; }
    else return;
    event.preventDefault();
    hover();
  });
  new ResizeObserver(draw).observe(host);
  redraws.push(draw);
  return draw;
}

function curves() {
  const { steps, parts, evaluations } = data;
  if (!steps.step.length) return;
  find("curves").hidden = false;
  const noisy = steps.step.length > 40;
  const lines = parts.map((name, i) => ({
    name, colour: pairColour(i), raw: steps.parts[i], smooth: noisy ? steps.parts_smooth[i] : null,
    dots: evaluations.map((row) => [row.step, row.parts[i]]),
  }));
  if (parts.length !== 1) lines.push({ name: "weighted sum", colour: "var(--ink)", raw: steps.loss, smooth: noisy ? steps.loss_smooth : null, hidden: parts.length > 1 });
  const loss = { xs: steps.step, lines, height: 320, log: false, label: "Parts of the loss over steps" };
  const draw = lineChart(find("loss-chart"), loss);
  choice(find("loss-scale"), ["linear", "log"], (i) => { loss.log = i === 1; draw(); });
  find("loss-legend").append(...lines.map((line) => {
    const button = make("button", { type: "button", "aria-pressed": !line.hidden, style: `--key:${line.colour}` }, line.name);
    button.addEventListener("click", () => { line.hidden = !line.hidden; button.setAttribute("aria-pressed", !line.hidden); draw(); });
    return button;
  }));
  lineChart(find("rate-chart"), { xs: steps.step, lines: [{ name: "learning rate", colour: "var(--c7)", raw: steps.learning_rate }], height: 170, label: "Learning rate over steps" });
  lineChart(find("norm-chart"), { xs: steps.step, lines: [{ name: "gradient norm", colour: "var(--c3)", raw: steps.gradient_norm, smooth: noisy ? steps.gradient_norm_smooth : null }], height: 170, label: "Gradient norm over steps" });
}

const hex = (colour) => { const n = colour.slice(1); return [0, 1, 2].map((i) => n.length === 3 ? parseInt(n[i] + n[i], 16) : parseInt(n.slice(2 * i, 2 * i + 2), 16)); };
// A table of colours: painting 64 heads blends half a million cells otherwise.
function colourTable(stops, place) {
  const table = Array.from({ length: 512 }, (_, i) => {
    const at = i / 511 * (stops.length - 1), low = Math.min(Math.floor(at), stops.length - 2);
    return stops[low].map((c, k) => Math.round(c + (stops[low + 1][k] - c) * (at - low)));
  });
  return (v, peak) => table[Math.round(511 * Math.max(0, Math.min(1, place(v / peak) || 0)))];
}
// Square root: rows of 24 tokens have a mean of 0.04, which a linear scale would leave blank beside a peak of 1.
const mapColours = () => colourTable(css("--map").split(" ").map(hex), Math.sqrt);
const differenceColours = () => colourTable(["--minus", "--zero", "--plus"].map((name) => hex(css(name))), (t) => 0.5 + t / 2);

function paint(values, size, peak, colours) {
  const canvas = make("canvas", { width: size, height: size, "aria-hidden": "true" });
  const context = canvas.getContext("2d"), image = context.createImageData(size, size);
  values.forEach((v, i) => {
    const colour = colours(v, peak);
    for (let k = 0; k < 3; k++) image.data[4 * i + k] = colour[k];
    image.data[4 * i + 3] = 255;
  });
  context.putImageData(image, 0, 0);
  return canvas;
}

function relationMaps(maps) {
  const S = maps.tokens.length, MEAN = -1;
  // Little-endian u16 in base64, 65535 = probability 1.
  const decode = (text) => { const bytes = atob(text); return Float32Array.from({ length: bytes.length / 2 }, (_, i) => (bytes.charCodeAt(2 * i) + 256 * bytes.charCodeAt(2 * i + 1)) / 65535); };
  const all = ["teacher", "before", "after"].map((who) => maps[who].map(decode));
  const meanOf = (length, from) => Float32Array.from({ length }, (_, i) => { let sum = 0; for (let a = 0; a < maps.heads; a++) sum += from[a * length + i] ?? NaN; return sum / maps.heads; });
  const slice = (from, length, head) => head === MEAN ? meanOf(length, from) : from.slice(head * length, (head + 1) * length);
  const average = (rows) => rows.reduce((a, b) => a + (b ?? NaN), 0) / rows.length;
  const largest = (values, least) => values.reduce((a, b) => Math.max(a, Math.abs(b) || 0), least);
  let pair = 0, head = MEAN, preview = null, row = 0, column = 0, locked = false, shown = null;
  const section = find("maps"), panels = find("panels"), taughtBy = data.taught_by, names = [taughtBy[0].toUpperCase() + taughtBy.slice(1), data.copied ? "Copied student" : "Student before", "Student after", `After − ${taughtBy}`];
  section.hidden = false;
  panels.tabIndex = 0;
  panels.setAttribute("aria-label", "Relation maps; arrow keys move the cell");
  const figures = names.map((name) => {
    const figure = { canvas: make("canvas", { role: "img", "aria-label": name }), note: make("span", { class: "muted" }, "\u00a0") };
    panels.append(make("figure", {}, make("figcaption", {}, name, figure.note), figure.canvas));
    return figure;
  });

  function select() {
    const use = preview ?? head, maps4 = all.map((who) => slice(who[pair], S * S, use));
    maps4.push(maps4[2].map((v, i) => v - maps4[0][i]));
    const kl = ["before", "after"].map((when) => Array.from(slice(maps.kl[when][pair], S, use)));
    const peak = largest(maps4.slice(0, 3).flatMap((m) => [...m]), 1e-6), gap = largest(maps4[3], 1e-6);
    const [sequential, diverging] = [mapColours(), differenceColours()];
    shown = { maps: maps4, kl, images: maps4.map((m, i) => paint(m, S, i < 3 ? peak : gap, i < 3 ? sequential : diverging)) };
    kl.forEach((rows, i) => { figures[i + 1].note.textContent = `KL ${number(average(rows))}`; });
    const strip = (colours, from) => Array.from({ length: 13 }, (_, i) => `rgb(${colours(from(i / 12), 1)})`).join();
    find("scale").replaceChildren("0", make("span", { style: `background:linear-gradient(90deg,${strip(sequential, (t) => t * t)})` }), `${number(peak)} probability (colour by square root)`);
    find("difference-scale").replaceChildren(number(-gap), make("span", { style: `background:linear-gradient(90deg,${strip(diverging, (t) => 2 * t - 1)})` }), `${number(gap)} difference`);
    find("head-name").textContent = use === MEAN ? "— mean of all heads shown" : `— head ${use + 1} of ${maps.heads} shown`;
    draw();
  }

  function drawPanel({ canvas }, image) {
    const width = canvas.parentElement.clientWidth, ratio = window.devicePixelRatio || 1, context = canvas.getContext("2d");
    if (!width) return;
    context.font = "11px system-ui, sans-serif";
    const gutter = width < 190 ? 0 : Math.min(64, 8 + maps.tokens.reduce((a, t) => Math.max(a, context.measureText(t).width), 0));
    const cell = Math.min((width - gutter - 1) / S, 40), height = gutter + cell * S + 1;
    canvas.width = width * ratio; canvas.height = height * ratio; canvas.style.height = `${height}px`;
    canvas.place = { gutter, cell };
    context.scale(ratio, ratio);
    context.imageSmoothingEnabled = false;
    context.drawImage(image, gutter, gutter, cell * S, cell * S);
    const every = Math.ceil(11 / cell), ink = css("--ink"), muted = css("--muted");
    const label = (text, chosen) => { context.font = `${chosen ? "700 " : ""}${Math.min(11.5, Math.max(9, cell * 0.8))}px system-ui, sans-serif`; context.fillStyle = chosen ? ink : muted; context.fillText(text, 0, 0, gutter - 6); };
    context.textBaseline = "middle";
    if (gutter) maps.tokens.forEach((token, i) => {
      const middle = gutter + cell * (i + 0.5), near = (chosen) => i !== chosen && (i % every || (every > 1 && Math.abs(i - chosen) < every));
      context.textAlign = "right";
      if (!near(row)) { context.setTransform(ratio, 0, 0, ratio, (gutter - 5) * ratio, middle * ratio); label(token, i === row); }
      context.textAlign = "left";
      if (!near(column)) { context.setTransform(0, -ratio, ratio, 0, middle * ratio, (gutter - 5) * ratio); label(token, i === column); }
    });
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const outline = (x, y, w, h, colour, weight) => { context.strokeStyle = colour; context.lineWidth = weight; context.strokeRect(x, y, w, h); };
    const [x, y] = [gutter + column * cell, gutter + row * cell];
    outline(gutter + 0.5, y, cell * S - 1, cell, css("--card"), 3);
    outline(gutter + 0.5, y, cell * S - 1, cell, css("--c1"), locked ? 2 : 1.3);
    outline(x, y, cell, cell, css("--card"), 4);
    outline(x, y, cell, cell, css("--c1"), 2.4);
  }

  function drawProfile(host) {
    const width = host.clientWidth, height = 168, base = height - 54, step = (width - 40) / S;
    if (width < 40) return;
    const rows = shown.maps.slice(0, 3).map((m) => m.slice(row * S, row * S + S)), peak = largest(rows.flatMap((r) => [...r]), 1e-6);
    const y = (v) => base - (base - 12) * Math.sqrt((v || 0) / peak), root = make("svg", { viewBox: `0 0 ${width} ${height}`, width: "100%", height, role: "img", "aria-label": "The chosen row of all three maps, on a square-root scale" });
    const marks = [1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.001].filter((t) => t <= peak && base - y(t) > 13).reduce((kept, t) => !kept.length || y(t) - y(kept.at(-1)) > 22 ? [...kept, t] : kept, []);
    for (const t of [...marks, 0]) root.append(make("line", { class: "grid", x1: 38, x2: width, y1: y(t), y2: y(t) }), make("text", { x: 32, y: y(t) + 4, "text-anchor": "end" }, tickLabel(t)));
    const every = Math.ceil(12 / step);
    maps.tokens.forEach((token, i) => {
      const x = 40 + step * i, middle = x + step / 2, bar = Math.min(step * 0.8, 34), dot = Math.min(4.5, Math.max(1.6, step / 4));
      root.append(make("rect", { x: middle - bar / 2, width: bar, y: y(rows[0][i]), height: Math.max(base - y(rows[0][i]), 0), rx: 2, style: `fill:var(--ink);opacity:${i === column ? 0.4 : 0.2}` }),
        make("circle", { cx: middle, cy: y(rows[1][i]), r: dot, style: "fill:none;stroke:var(--muted)", "stroke-width": 1.6 }),
        make("circle", { cx: middle, cy: y(rows[2][i]), r: dot, style: "fill:var(--pair)" }));
      if (i % every === 0) root.append(make("text", { transform: `translate(${middle + 3} ${base + 8}) rotate(-90)`, "text-anchor": "end", style: `font-size:11px;${i === column ? "fill:var(--ink);font-weight:700" : ""}` }, token.length > 8 ? `${token.slice(0, 7)}…` : token));
    });
    host.replaceChildren(root);
  }

  function draw() {
    figures.forEach((figure, i) => drawPanel(figure, shown.images[i]));
    press(find("tokens"), row);
    const cell = (m) => number(shown.maps[m][row * S + column]);
    const line = (kind, name, probability, kl) => make("tr", {}, make("th", {}, make("i", { class: `swatch ${kind}` }), name), make("td", { class: "number" }, probability), make("td", { class: "number" }, kl));
    find("numbers").replaceChildren(
      make("h4", {}, `“${maps.tokens[row]}” → “${maps.tokens[column]}”`, make("span", { class: "muted" }, locked ? "  locked" : "")),
      make("table", {}, make("thead", {}, make("tr", {}, make("th"), make("th", { class: "number" }, "probability"), make("th", { class: "number" }, "row KL, nats"))),
        make("tbody", {}, line("teacher", taughtBy, cell(0), ""), line("before", "before", cell(1), number(shown.kl[0][row])), line("after", "after", cell(2), number(shown.kl[1][row])), line("", "difference", cell(3), ""))));
    drawProfile(find("profile"));
  }

  function drawHeads() {
    const kl = ["before", "after"].map((when) => [MEAN, ...Array(maps.heads).keys()].map((a) => average(Array.from(slice(maps.kl[when][pair], S, a)))));
    const top = largest(kl.flat(), 1e-6), colours = mapColours(), host = find("heads");
    find("head-scale").textContent = `A full bar is ${number(top)} nats.`;
    host.replaceChildren(...kl[0].map((_, i) => {
      const ab = [0, 2].map((who) => slice(all[who][pair], S * S, i - 1)), peak = largest([...ab[0], ...ab[1]], 1e-6), title = i ? `head ${i}` : "mean of heads";
      const bars = make("div", { class: "columnbars" }, ...kl.map((values) => make("i", { style: `height:${100 * Math.min(1, (values[i] || 0) / top)}%` })));
      const button = make("button", { type: "button", title: `${title}: KL ${number(kl[0][i])} before, ${number(kl[1][i])} after`, "aria-label": title }, bars, ...ab.map((m) => paint(m, S, peak, colours)), i ? String(i) : "mean");
      button.addEventListener("click", () => { head = i - 1; preview = null; press(host, i); select(); });
      button.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse") { preview = i - 1; select(); } });
      return button;
    }));
    press(host, head + 1);
  }

  function point(event, canvas) {
    const box = canvas.getBoundingClientRect(), { gutter, cell } = canvas.place;
    const index = (v) => Math.max(0, Math.min(S - 1, Math.floor((v - gutter) / cell)));
    [row, column] = [index(event.clientY - box.top), index(event.clientX - box.left)];
  }
  figures.forEach(({ canvas }) => {
    canvas.addEventListener("pointermove", (event) => { if (!locked && event.pointerType === "mouse") { point(event, canvas); draw(); } });
    canvas.addEventListener("click", (event) => { const old = [row, column]; point(event, canvas); locked = !(locked && old[0] === row && old[1] === column); draw(); });
  });
  panels.addEventListener("keydown", (event) => {
    const move = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (move) { row = Math.max(0, Math.min(S - 1, row + move[0])); column = Math.max(0, Math.min(S - 1, column + move[1])); locked = true; }
    else if (event.key === "Enter" || event.key === " ") locked = !locked;
    else if (event.key === "Escape") locked = false;
    else return;
    event.preventDefault();
    draw();
  });
  find("heads").addEventListener("pointerleave", () => { if (preview !== null) { preview = null; select(); } });
  choice(find("tokens"), maps.tokens, (i) => { row = i; locked = true; draw(); });
  const setPair = (i) => { pair = i; section.style.setProperty("--pair", pairColour(data.parts.indexOf(maps.pairs[i]))); drawHeads(); select(); };
  choice(find("pair-tabs"), maps.pairs, setPair);
  roving(find("heads"));
  // Start on the row that the run had most to teach about, at its strongest token.
  const worst = Array.from(slice(maps.kl.before[0], S, MEAN));
  row = worst.reduce((best, v, i) => v > worst[best] ? i : best, 0);
  const strongest = slice(all[0][0], S * S, MEAN).slice(row * S, row * S + S);
  column = strongest.reduce((best, v, i) => v > strongest[best] ? i : best, 0);
  setPair(0);
  new ResizeObserver(draw).observe(panels);
  redraws.push(() => { drawHeads(); select(); });
}

curves();
if (data.relations) relationMaps(data.relations);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraws.forEach((redraw) => redraw()));
