"use strict";
// Facets are filtered over typed arrays; texts are read once, when the first word is searched.
const PAGE = 20;
const LOADS_AT_ONCE = 8;
const byId = (id) => document.getElementById(id);
const form = byId("filters");
const name = form.dataset.collection;
const files = new Map();
const arrived = new Map();
let facets = [], ranks = [], texts = null, count = 0, rowsPerFile = 1, found = [], first = 0, turn = 0;

globalThis.gallery = {
  index(content) {
    ({ count, rows_per_file: rowsPerFile } = content);
    ranks = decode(content.ranks);
    facets = content.facets.map((facet) => {
      const codes = decode(facet.codes);
      return { codes, select: chooser(facet, codes) };
    });
    takeFilter();
  },
  rows(number, rows) { arrived.get(number)(rows); },
};

function decode(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Uint16Array.from({ length: bytes.length / 2 }, (_, i) => view.getUint16(2 * i, true));
}

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function chooser(facet, codes) {
  const counts = new Uint32Array(facet.values.length);
  for (const code of codes) counts[code] += 1;
  const label = make("label", "", facet.name + " ");
  const select = make("select");
  select.name = facet.name;
  select.append(new Option("all", ""));
  const order = facet.values.map((value, code) => [value, code]).sort();
  for (const [value, code] of order) {
    const option = new Option(`${value} (${counts[code]})`, code);
    option.dataset.value = value;
    select.append(option);
  }
  label.append(select);
  form.insertBefore(label, byId("reveal").parentElement);
  return select;
}

function include(file, failed) {
  const script = make("script");
  script.src = `${name}/${file}.js`;
  script.onerror = () => failed(new Error(`${script.src} is missing`));
  document.head.append(script);
}

function load(number) {
  if (!files.has(number)) {
    files.set(number, new Promise((resolve, reject) => {
      arrived.set(number, resolve);
      include(`rows-${String(number).padStart(3, "0")}`, reject);
    }));
  }
  return files.get(number);
}

async function readTexts() {
  const read = new Array(count);
  const last = Math.ceil(count / rowsPerFile);
  for (let from = 0; from < last; from += LOADS_AT_ONCE) {
    const numbers = Array.from({ length: Math.min(LOADS_AT_ONCE, last - from) }, (_, i) => from + i);
    byId("told").textContent = `Reading texts: ${from} of ${last} files`;
    await Promise.all(numbers.map(async (number) => {
      (await load(number)).forEach(([, , question, said, facts], i) => {
        const parts = [question, facts, ...said.flatMap(([who, text]) => [who, text])];
        read[number * rowsPerFile + i] = parts.join("\n").toLowerCase();
      });
    }));
  }
  texts = read;
}

function matches(words) {
  const asked = facets.filter(({ select }) => select.value !== "")
    .map(({ codes, select }) => [codes, Number(select.value)]);
  const kept = [];
  rows: for (let row = 0; row < count; row += 1) {
    for (const [codes, wanted] of asked) if (codes[row] !== wanted) continue rows;
    for (const word of words) if (!texts[row].includes(word)) continue rows;
    kept.push(row);
  }
  return kept.sort((one, other) => ranks[one] - ranks[other] || one - other);
}

// A link may carry a filter: #benchmark=HarmEval&PPO=unsafe&words=...
function takeFilter() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  byId("words").value = wanted.get("words") ?? "";
  for (const { select } of facets) {
    const value = wanted.get(select.name);
    const option = [...select.options].find((each) => each.dataset.value === value);
    select.value = option ? option.value : "";
  }
  update();
}

function linkFilter() {
  const told = new URLSearchParams();
  for (const { select } of facets) {
    if (select.value) told.set(select.name, select.selectedOptions[0].dataset.value);
  }
  if (byId("words").value) told.set("words", byId("words").value);
  history.replaceState(null, "", `#${told}`);
}

async function update() {
  const mine = ++turn;
  const words = byId("words").value.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length && !texts) await readTexts();
  if (mine !== turn) return;
  const start = performance.now();
  found = matches(words);
  form.dataset.milliseconds = (performance.now() - start).toFixed(1);
  first = 0;
  byId("told").textContent = `${found.length} of ${count} rows`;
  await show();
}

function picture(imageId, veiled, alt) {
  const image = make("img");
  image.src = `pictures/${imageId}.webp`;
  image.alt = alt;
  if (!veiled) return image;
  const label = make("label", "veil");
  const box = make("input");
  box.type = "checkbox";
  label.append(box, make("span", "", "Show the picture"), image);
  return label;
}

function answer([who, text, judged, good]) {
  const part = make("div", "answer");
  const heading = make("h3", "", who + " ");
  const mark = good === null ? "" : good ? "✓ " : "✗ ";
  heading.append(make("span", "chip" + (good === null ? "" : good ? " good" : " bad"), mark + judged));
  const body = make("div", text.length > 700 ? "text long" : "text", text || "(empty answer)");
  body.dir = "auto";
  if (text.length > 700) {
    body.tabIndex = 0;
    body.setAttribute("role", "region");
    body.setAttribute("aria-label", `Answer, ${who}`);
  }
  part.append(heading, body);
  return part;
}

function card([imageId, veiled, question, said, facts]) {
  const article = make("article", "case");
  const asked = make("div", "asked");
  if (imageId) asked.append(picture(imageId, veiled, facts));
  const heading = make("h2", "question", question);
  heading.dir = "auto";
  asked.append(heading);
  const answers = make("div", "answers");
  answers.append(...said.map(answer));
  article.append(asked, answers, make("p", "facts", facts));
  return article;
}

async function show() {
  const mine = turn, from = first;
  const shown = found.slice(from, from + PAGE);
  const cards = await Promise.all(shown.map(async (row) => {
    return card((await load(Math.floor(row / rowsPerFile)))[row % rowsPerFile]);
  }));
  if (mine !== turn || from !== first) return;
  byId("rows").replaceChildren(...cards);
  byId("where").textContent = shown.length ? `${from + 1} to ${from + shown.length}` : "no row";
  byId("back").disabled = from === 0;
  byId("on").disabled = from + PAGE >= found.length;
}

function turnPage(by) {
  first += by * PAGE;
  show();
  byId("rows").scrollIntoView();
}

form.addEventListener("input", (event) => {
  if (event.target.id === "reveal") document.body.classList.toggle("revealed", event.target.checked);
  else {
    linkFilter();
    update();
  }
});
addEventListener("hashchange", takeFilter);
form.addEventListener("submit", (event) => event.preventDefault());
byId("back").addEventListener("click", () => turnPage(-1));
byId("on").addEventListener("click", () => turnPage(1));
include("index", (error) => { byId("told").textContent = error.message; });
