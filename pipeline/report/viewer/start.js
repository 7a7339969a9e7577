// --- begin, begin again, give up

const CURSOR_COLOUR = [0.38, 0.75, 0.89, 1];
const CURSOR = { width: 0.7, head: 240 }; // mm: the lines on a volume as long as a head, thinner on a shorter one
const FACING = [200, 12]; // azimuth and elevation of the 3-D view, degrees: from the front and a little above
const RENDER_SCALE = 1.4;

function hasWebGL2() {
  try {
    return Boolean(globalThis.niivue && document.createElement("canvas").getContext("webgl2"));
  } catch {
    return false;
  }
}

async function start() {
  document.getElementById("viewer").hidden = false;
  byId("off").hidden = true;
  nv = new globalThis.niivue.Niivue({
    logLevel: "error", loadingText: "", backColor: [0, 0, 0, 1], crosshairColor: CURSOR_COLOUR,
    crosshairWidthUnit: "mm", crosshairGap: 8, fontColor: [0.85, 0.87, 0.9, 1], isRadiologicalConvention: true,
    sagittalNoseLeft: true, showAllOrientationMarkers: true, dragAndDropEnabled: false, dragMode: 0,
    clipPlaneColor: [0, 0, 0, 0],
  });
  await nv.attachToCanvas(canvas);
  nv.addColormap(PROBABILITY, PROBABILITY_COLOURS);
  await readLayers();
  nv.addVolume(images.get(shown));
  nv.addVolume(images.get(PROBABILITY));
  sizeCursor(images.get(shown).hdr);
  if (images.has(MASK)) addMask();
  nv.onLocationChange = showPlace;
  listen();
  reset();
}

// Lines that suit a head would hide a small region.
function sizeCursor({ dims, pixDims }) {
  const longest = Math.max(...[1, 2, 3].map((axis) => dims[axis] * pixDims[axis]));
  nv.opts.crosshairWidth = CURSOR.width * Math.min(longest / CURSOR.head, 1);
}

async function readLayers() {
  for (const element of document.querySelectorAll("script[data-layer]")) {
    const name = element.dataset.layer;
    const colormap = name === PROBABILITY ? name : "gray";
    const source = { base64: element.textContent, name: `${name}.nii.gz`, colormap };
    images.set(name, await globalThis.niivue.NVImage.loadFromBase64(source));
    element.remove();
  }
}

// Everything as it was when the page was opened.
function reset() {
  maskShown = true;
  for (const role of told.series) windows.set(role, firstWindow(role));
  for (const element of document.querySelectorAll("#viewer input")) {
    if (element.type === "range") element.value = element.defaultValue;
    else element.checked = element.defaultChecked;
  }
  nv.setPan2Dxyzmm([0, 0, 0, 1]);
  nv.setRenderAzimuthElevation(...FACING);
  nv.volScaleMultiplier = RENDER_SCALE;
  showSeries();
  showMask();
  showProbability();
  showView();
  showCut();
  told.parts.length ? jump(0) : moveToMiddle();
}

function off() {
  document.getElementById("viewer").hidden = true;
  byId("off").hidden = false;
}

if (hasWebGL2()) start().catch((error) => { console.error(error); off(); });
else off();
