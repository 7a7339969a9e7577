// --- controls, keys, wheel and mouse. NiiVue listens on the canvas: what it must not hear is stopped on the way there.

function listen() {
  const on = (name, kind, act) => byId(name)?.addEventListener(kind, act);
  const onAll = (selector, kind, act) => document.querySelectorAll(selector).forEach((e) => e.addEventListener(kind, act));
  onAll('input[name="viewer-series"]', "change", showSeries);
  onAll('input[name="viewer-view"]', "change", showView);
  onAll(".part", "click", (event) => jump(Number(event.currentTarget.dataset.part)));
  AXES.forEach((axis) => on(axis, "input", fromSliders));
  for (const name of ["level", "width"]) {
    on(name, "input", () => setWindow(Number(byId("level").value), Number(byId("width").value)));
  }
  for (const name of [MASK, "outline"]) on(name, "input", () => { maskShown = true; showMask(); });
  on(PROBABILITY, "input", showProbability);
  on("cut", "input", showCut);
  on("reset", "click", reset);
  on("canvas", "webglcontextlost", off);
  new ResizeObserver(showView).observe(stage);
  for (const kind of ["keydown", "keyup"]) stage.addEventListener(kind, onKey, true);
  for (const kind of ["mousedown", "mousemove", "mouseup"]) stage.addEventListener(kind, onRightButton, true);
  stage.addEventListener("dblclick", (event) => event.stopPropagation(), true);
  stage.addEventListener("wheel", onWheel, { capture: true, passive: false });
}

const STEPS = {
  ArrowLeft: [0, 1], ArrowRight: [0, -1], ArrowUp: [1, 1], ArrowDown: [1, -1], PageUp: [2, 1], PageDown: [2, -1],
}; // the patient's right is on the left

function onKey(event) {
  event.stopPropagation();
  if (event.type !== "keydown" || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key in STEPS) step(...STEPS[event.key]);
  else if (event.key.toLowerCase() === "m") { maskShown = !maskShown; showMask(); }
  else return;
  event.preventDefault();
}

// The page scrolls on under the pointer until the picture has been chosen.
function onWheel(event) {
  if (document.activeElement !== canvas || event.ctrlKey) event.stopPropagation();
}

// The right button changes the window: up and down the level, sideways the width.
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

