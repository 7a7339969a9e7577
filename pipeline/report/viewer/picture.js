// --- what is shown: the series and its window, mask, probability, planes

const PROBABILITY_COLOURS = {
  R: [24, 40, 130, 214, 255], G: [40, 70, 60, 52, 120], B: [120, 200, 210, 130, 60], A: [0, 150, 220, 255, 255],
  I: [0, 51, 115, 179, 255],
};
const LEAST_PROBABILITY = 0.02; // below it nothing is drawn
const SEEN_FILL = 0.004; // NiiVue draws no outline where the fill is less

function firstWindow(role) {
  const white = told.white[role];
  return { level: white * 0.45, width: white * 0.9 };
}

function showSeries() {
  shown = checked("series");
  const image = images.get(shown);
  if (nv.volumes[0] !== image) {
    nv.volumes = [image, ...nv.volumes.slice(1)];
    nv.back = image;
  }
  const white = told.white[shown];
  [byId("level").min, byId("level").max] = [0, white];
  [byId("width").min, byId("width").max] = [white / 100, white * 1.5];
  showWindow();
  nv.updateGLVolume();
  showPlace();
}

function setWindow(level, width) {
  const white = told.white[shown];
  windows.set(shown, { level: within(level, 0, white), width: within(width, white / 100, white * 1.5) });
  showWindow();
  soon("window", () => { nv.refreshLayers(images.get(shown), 0); nv.drawScene(); });
}

function showWindow() {
  const { level, width } = windows.get(shown);
  const image = images.get(shown);
  [image.cal_min, image.cal_max] = [level - width / 2, level + width / 2];
  for (const [name, value] of [["level", level], ["width", width]]) {
    byId(name).value = value;
    byId(`${name}-text`).textContent = digits(value);
  }
}

// The mask is NiiVue's drawing: its voxels stay sharp, and its rim is a line on the screen.
function addMask() {
  const channel = (n) => [0, ...told.segments.map((segment) => segment.rgb[n])];
  const alpha = [0, ...told.segments.map(() => 255)];
  const labels = ["", ...told.segments.map((segment) => segment.label)];
  nv.setDrawColormap({ R: channel(0), G: channel(1), B: channel(2), A: alpha, labels });
  nv.loadDrawing(images.get(MASK));
}

function showMask() {
  if (!images.has(MASK)) return;
  const outlined = maskShown && byId("outline").checked;
  nv.drawRimOpacity = outlined ? 1 : -1;
  nv.drawOpacity = maskShown ? Math.max(share(MASK), outlined ? SEEN_FILL : 0) : 0;
  showShare(MASK);
  soon("scene", () => nv.drawScene());
}

function showProbability() {
  const image = images.get(PROBABILITY);
  [image.cal_min, image.cal_max, image.opacity] = [LEAST_PROBABILITY, 1, share(PROBABILITY)];
  showShare(PROBABILITY);
  soon("probability", () => nv.updateGLVolume());
}

function showShare(name) {
  byId(`${name}-text`).textContent = `${Math.round(share(name) * 100)} %`;
}

// The plane that was scanned is large, the others stand beside it, or below it on a narrow page.
function showView() {
  const { AXIAL, CORONAL, SAGITTAL, RENDER } = globalThis.niivue.SLICE_TYPE;
  const kinds = { axial: AXIAL, coronal: CORONAL, sagittal: SAGITTAL, render: RENDER };
  const view = checked("view");
  if (view in kinds) {
    nv.clearCustomLayout();
    nv.setSliceType(kinds[view]);
  } else {
    const others = ["axial", "coronal", "sagittal"].filter((plane) => plane !== told.plane);
    const small = view === "both" ? [...others, "render"] : others;
    const part = 1 / small.length;
    const tall = stage.clientHeight > stage.clientWidth;
    nv.setCustomLayout([
      { sliceType: kinds[told.plane], position: tall ? [0, 0, 1, 0.6] : [0, 0, 0.62, 1] },
      ...small.map((plane, n) => ({
        sliceType: kinds[plane], position: tall ? [n * part, 0.6, part, 0.4] : [0.62, n * part, 0.38, part],
      })),
    ]);
  }
  byId("cut-row").hidden = view !== "both" && view !== "render";
  nv.drawScene();
}

function showCut() {
  const cut = share("cut");
  byId("cut-text").textContent = cut ? `${Math.round(cut * 100)} %` : "off";
  nv.setClipPlane(cut ? [0.5 - cut, 180, 0] : [2, 0, 0]);
}

