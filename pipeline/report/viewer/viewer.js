// The report's viewer: NiiVue with the controls that the page has for it. No network, no storage.
const byId = (name) => document.getElementById(`viewer-${name}`);
const told = JSON.parse(byId("told").textContent);
const MASK = "mask", PROBABILITY = "probability";
const MASK_COLOUR = [255, 212, 0];
const CURSOR_COLOUR = [0.38, 0.75, 0.89, 1];
const FACING = [200, 12]; // azimuth and elevation of the 3-D view, degrees: from the front and a little above
const RENDER_SCALE = 1.4;
const AXES = ["x", "y", "z"]; // right to left, posterior to anterior, inferior to superior

const canvas = byId("canvas");
const stage = byId("stage");
const images = new Map();
const windows = new Map(); // by series: level and width, in its own units
const jobs = new Map(); // what the next frame draws
let nv, shown = told.series[0], maskShown = true;

const checked = (name) => document.querySelector(`input[name="viewer-${name}"]:checked`).value;
const share = (name) => (byId(name) ? Number(byId(name).value) / 100 : 0);
const digits = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));

function hasWebGL2() {
  try {
    return Boolean(globalThis.niivue && document.createElement("canvas").getContext("webgl2"));
  } catch {
    return false;
  }
}

async function start() {
  const { Niivue, NVImage } = globalThis.niivue;
  byId("off").hidden = true;
  document.getElementById("viewer").hidden = false;
  nv = new Niivue({
    logLevel: "error", loadingText: "", backColor: [0, 0, 0, 1], crosshairColor: CURSOR_COLOUR, crosshairWidth: 0.7,
    crosshairWidthUnit: "mm", crosshairGap: 8, fontColor: [0.85, 0.87, 0.9, 1], isRadiologicalConvention: true,
    sagittalNoseLeft: true, showAllOrientationMarkers: true, dragAndDropEnabled: false, dragMode: 0,
    clipPlaneColor: [0, 0, 0, 0],
  });
  await nv.attachToCanvas(canvas);
  addProbabilityColours();
  for (const element of document.querySelectorAll("script[data-layer]")) {
    const name = element.dataset.layer;
    const map = name === PROBABILITY ? name : "gray";
    const image = await NVImage.loadFromBase64({ base64: element.textContent, name: `${name}.nii.gz`, colormap: map });
    element.remove();
    images.set(name, image);
  }
  for (const role of told.series) windows.set(role, firstWindow(role));
  nv.addVolume(images.get(shown));
  nv.addVolume(images.get(PROBABILITY));
  if (images.has(MASK)) drawMask();
  nv.onLocationChange = showPlace;
  nv.setRenderAzimuthElevation(...FACING);
  nv.volScaleMultiplier = RENDER_SCALE;
  setRanges();
  listen();
  showSeries();
  if (images.has(MASK)) showMask();
  showProbability();
  showView();
  told.parts.length ? jump(0) : moveTo([0.5, 0.5, 0.5]);
}

// As NiiVue's drawing, whose voxels stay sharp and whose rim is a line on the screen.
function drawMask() {
  const [r, g, b] = MASK_COLOUR;
  nv.setDrawColormap({ R: [0, r], G: [0, g], B: [0, b], A: [0, 255], labels: ["", MASK] });
  nv.loadDrawing(images.get(MASK));
}

function addProbabilityColours() {
  nv.addColormap(PROBABILITY, {
    R: [24, 40, 130, 214, 255], G: [40, 70, 60, 52, 120], B: [120, 200, 210, 130, 60], A: [0, 150, 220, 255, 255],
    I: [0, 51, 115, 179, 255],
  });
}

function firstWindow(role) {
  const white = told.white[role];
  return { level: white * 0.45, width: white * 0.9 };
}

// --- what is shown

function showSeries() {
  shown = checked("series");
  const image = images.get(shown);
  if (nv.volumes[0] !== image) {
    nv.volumes = [image, ...nv.volumes.slice(1)];
    nv.back = image;
  }
  const white = told.white[shown];
  for (const [name, most] of [["level", white], ["width", white * 1.5]]) {
    byId(name).min = name === "width" ? white / 100 : 0;
    byId(name).max = most;
  }
  showWindow();
  nv.updateGLVolume();
  showPlace();
}

function showWindow() {
  const { level, width } = windows.get(shown);
  const image = images.get(shown);
  image.cal_min = level - width / 2;
  image.cal_max = level + width / 2;
  for (const [name, value] of [["level", level], ["width", width]]) {
    byId(name).value = value;
    byId(`${name}-text`).textContent = digits(value);
  }
}

function setWindow(level, width) {
  const white = told.white[shown];
  const within = (value, low, high) => Math.min(Math.max(value, low), high);
  windows.set(shown, { level: within(level, 0, white), width: within(width, white / 100, white * 1.5) });
  showWindow();
  soon("window", () => { nv.refreshLayers(images.get(shown), 0); nv.drawScene(); });
}

function showMask() {
  const outlined = byId("outline").checked;
  nv.drawRimOpacity = outlined && maskShown ? 1 : -1;
  nv.drawOpacity = maskShown ? Math.max(share(MASK), outlined ? 0.004 : 0) : 0; // no rim without some fill
  showShare(MASK);
  soon("scene", () => nv.drawScene());
}

function showProbability() {
  const image = images.get(PROBABILITY);
  [image.cal_min, image.cal_max] = [0.02, 1];
  image.opacity = share(PROBABILITY);
  showShare(PROBABILITY);
  soon("probability", () => nv.updateGLVolume());
}

function showShare(name) {
  byId(`${name}-text`).textContent = `${Math.round(share(name) * 100)} %`;
}

function showView() {
  const { AXIAL, CORONAL, SAGITTAL, RENDER } = globalThis.niivue.SLICE_TYPE;
  const kinds = { axial: AXIAL, coronal: CORONAL, sagittal: SAGITTAL };
  const view = checked("view");
  const small = ["axial", "coronal", "sagittal"].filter((plane) => plane !== told.plane).map((plane) => kinds[plane]);
  const tall = stage.clientHeight > stage.clientWidth;
  const place = tall
    ? (n, count) => [n / count, 0.6, 1 / count, 0.4]
    : (n, count) => [0.62, n / count, 0.38, 1 / count];
  const main = tall ? [0, 0, 1, 0.6] : [0, 0, 0.62, 1];
  const rest = view === "both" ? [...small, RENDER] : small;
  if (view === "planes" || view === "both") {
    nv.setCustomLayout([
      { sliceType: kinds[told.plane], position: main },
      ...rest.map((sliceType, n) => ({ sliceType, position: place(n, rest.length) })),
    ]);
  } else {
    nv.clearCustomLayout();
    nv.setSliceType(view === "render" ? RENDER : kinds[view]);
  }
  byId("cut-row").hidden = view !== "both" && view !== "render";
  nv.drawScene();
}

function showCut() {
  const cut = share("cut");
  byId("cut-text").textContent = cut ? `${Math.round(cut * 100)} %` : "off";
  nv.setClipPlane(cut ? [0.5 - cut, 180, 0] : [2, 0, 0]);
}

// --- the cursor

const counts = () => images.get(shown).dimsRAS.slice(1, 4);

function setRanges() {
  AXES.forEach((axis, n) => { byId(axis).max = counts()[n]; });
}

function moveTo(fraction) {
  nv.scene.crosshairPos = fraction;
  nv.drawScene();
  showPlace();
}

function jump(number) {
  moveTo(Array.from(nv.mm2frac(told.parts[number], 0, true)));
  for (const button of document.querySelectorAll(".part")) {
    const here = Number(button.dataset.part) === number;
    here ? button.setAttribute("aria-current", "true") : button.removeAttribute("aria-current");
  }
}

// Sliders count voxels from the patient's right, from posterior and from inferior; NiiVue from the left.
function step(axis, by) {
  const fraction = Array.from(nv.scene.crosshairPos);
  const size = 1 / counts()[axis];
  fraction[axis] = Math.min(Math.max(fraction[axis] + by * size, size / 2), 1 - size / 2);
  moveTo(fraction);
}

function fromSliders() {
  moveTo(AXES.map((axis, n) => {
    const fraction = (Number(byId(axis).value) - 0.5) / counts()[n];
    return n === 0 ? 1 - fraction : fraction;
  }));
}

function showPlace() {
  const fraction = nv.scene.crosshairPos;
  const mm = Array.from(nv.frac2mm(fraction, 0, true)).slice(0, 3);
  AXES.forEach((axis, n) => {
    const count = counts()[n];
    const along = n === 0 ? 1 - fraction[n] : fraction[n];
    const number = Math.min(Math.floor(along * count) + 1, count);
    byId(axis).value = number;
    byId(`${axis}-text`).textContent = `${number} of ${count}`;
  });
  const letters = ["RL", "AP", "SI"].map((pair, n) => `${pair[mm[n] < 0 ? 1 : 0]} ${Math.abs(mm[n]).toFixed(1)}`);
  const values = told.series.map((role) => [role, digits(valueAt(role, mm))]);
  const place = [["", `${letters.join("  ")} mm`], ...values, [PROBABILITY, valueAt(PROBABILITY, mm).toFixed(2)]];
  const spans = place.map(([name, value]) => {
    const span = document.createElement("span");
    const strong = document.createElement("b");
    strong.textContent = value;
    span.append(name ? `${name} ` : "", strong);
    return span;
  });
  if (images.has(MASK) && valueAt(MASK, mm) > 0.5) {
    const span = document.createElement("span");
    span.className = "inside";
    span.textContent = "in the mask";
    spans.push(span);
  }
  byId("place").replaceChildren(...spans);
}

function valueAt(name, mm) {
  const image = images.get(name);
  const [i, j, k] = image.mm2vox(mm);
  return image.getValue(i, j, k);
}

// --- listening

function soon(name, draw) {
  if (!jobs.size) requestAnimationFrame(() => { const now = [...jobs.values()]; jobs.clear(); now.forEach((job) => job()); });
  jobs.set(name, draw);
}

function listen() {
  const onAll = (selector, kind, act) => document.querySelectorAll(selector).forEach((e) => e.addEventListener(kind, act));
  onAll('input[name="viewer-series"]', "change", showSeries);
  onAll('input[name="viewer-view"]', "change", showView);
  onAll(".part", "click", (event) => jump(Number(event.currentTarget.dataset.part)));
  for (const axis of AXES) byId(axis).addEventListener("input", fromSliders);
  for (const name of ["level", "width"]) {
    byId(name).addEventListener("input", () => setWindow(Number(byId("level").value), Number(byId("width").value)));
  }
  for (const name of [MASK, "outline"]) byId(name)?.addEventListener("input", () => { maskShown = true; showMask(); });
  byId(PROBABILITY).addEventListener("input", showProbability);
  byId("cut").addEventListener("input", showCut);
  byId("reset").addEventListener("click", reset);
  new ResizeObserver(() => showView()).observe(stage);
  canvas.addEventListener("webglcontextlost", off);
  // NiiVue listens on the canvas itself: what it must not hear is stopped on the way there.
  for (const kind of ["keydown", "keyup"]) stage.addEventListener(kind, onKey, true);
  for (const kind of ["mousedown", "mousemove", "mouseup"]) stage.addEventListener(kind, onRightButton, true);
  stage.addEventListener("dblclick", (event) => event.stopPropagation(), true);
  stage.addEventListener("wheel", onWheel, { capture: true, passive: false });
}

function onKey(event) {
  event.stopPropagation();
  if (event.type !== "keydown" || event.ctrlKey || event.altKey || event.metaKey) return;
  const steps = {
    ArrowLeft: [0, 1], ArrowRight: [0, -1], ArrowUp: [1, 1], ArrowDown: [1, -1], PageUp: [2, 1], PageDown: [2, -1],
  };
  if (event.key in steps) step(...steps[event.key]);
  else if (event.key.toLowerCase() === "m" && images.has(MASK)) { maskShown = !maskShown; showMask(); }
  else return;
  event.preventDefault();
}

// The page scrolls on under the pointer until the picture has been chosen.
function onWheel(event) {
  if (document.activeElement !== canvas || event.ctrlKey) event.stopPropagation();
}

let dragged = null;
function onRightButton(event) {
  if (event.type === "mousedown" && event.button === 2) dragged = [event.clientX, event.clientY];
  if (!dragged) return;
  event.stopPropagation();
  if (event.type === "mouseup") dragged = null;
  if (event.type !== "mousemove") return;
  const { level, width } = windows.get(shown);
  const unit = told.white[shown] / 300;
  setWindow(level + (dragged[1] - event.clientY) * unit, width + (event.clientX - dragged[0]) * unit);
  dragged = [event.clientX, event.clientY];
}

function reset() {
  maskShown = true;
  for (const role of told.series) windows.set(role, firstWindow(role));
  for (const element of document.querySelectorAll("#viewer input")) {
    if (element.type === "radio" || element.type === "checkbox") element.checked = element.defaultChecked;
    else if (element.hasAttribute("value")) element.value = element.defaultValue;
  }
  nv.setPan2Dxyzmm([0, 0, 0, 1]);
  nv.setRenderAzimuthElevation(...FACING);
  nv.volScaleMultiplier = RENDER_SCALE;
  showSeries();
  if (images.has(MASK)) showMask();
  showProbability();
  showView();
  showCut();
  told.parts.length ? jump(0) : moveTo([0.5, 0.5, 0.5]);
}

function off() {
  document.getElementById("viewer").hidden = true;
  byId("off").hidden = false;
}

if (hasWebGL2()) start().catch((error) => { console.error(error); off(); });
else off();
