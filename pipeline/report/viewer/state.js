// The report's viewer: NiiVue with the controls that the page has for it. No network, no storage.
const byId = (name) => document.getElementById(`viewer-${name}`);
const told = JSON.parse(byId("told").textContent);
const MASK = "mask", PROBABILITY = "probability";
const AXES = ["x", "y", "z"]; // right to left, posterior to anterior, inferior to superior

const canvas = byId("canvas");
const stage = byId("stage");
const images = new Map(); // by layer
const windows = new Map(); // by series: level and width, in its own units
let nv, shown = told.series[0], maskShown = true;

const checked = (name) => document.querySelector(`input[name="viewer-${name}"]:checked`).value;
const share = (name) => Number(byId(name).value) / 100;
const digits = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));
const within = (value, low, high) => Math.min(Math.max(value, low), high);

// Draws on the next frame, once, however often the same thing is asked for before.
const jobs = new Map();
function soon(name, draw) {
  if (!jobs.size) requestAnimationFrame(() => {
    const now = [...jobs.values()];
    jobs.clear();
    now.forEach((job) => job());
  });
  jobs.set(name, draw);
}

