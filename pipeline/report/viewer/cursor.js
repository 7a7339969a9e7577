// --- the cursor: where it is, what is there, how it moves. NiiVue counts in fractions, 0..1 from left, posterior, inferior.

const counts = () => images.get(shown).dimsRAS.slice(1, 4);

function moveTo(fraction) {
  nv.scene.crosshairPos = fraction;
  nv.drawScene();
  showPlace();
}

function moveToMiddle() {
  moveTo([0.5, 0.5, 0.5]);
}

function jump(number) {
  moveTo(Array.from(nv.mm2frac(told.parts[number], 0, true)));
  for (const button of document.querySelectorAll(".part")) {
    button.setAttribute("aria-current", Number(button.dataset.part) === number);
  }
}

function step(axis, by) {
  const fraction = Array.from(nv.scene.crosshairPos);
  const size = 1 / counts()[axis];
  fraction[axis] = within(fraction[axis] + by * size, size / 2, 1 - size / 2);
  moveTo(fraction);
}

// The sliders count voxels, and from the patient's right, as the picture lies.
function fromSliders() {
  moveTo(AXES.map((axis, n) => {
    const fraction = (Number(byId(axis).value) - 0.5) / counts()[n];
    return n === 0 ? 1 - fraction : fraction;
  }));
}

function showSliders(fraction) {
  AXES.forEach((axis, n) => {
    const count = counts()[n];
    const along = n === 0 ? 1 - fraction[n] : fraction[n];
    const number = Math.min(Math.floor(along * count) + 1, count);
    byId(axis).max = count;
    byId(axis).value = number;
    byId(`${axis}-text`).textContent = `${number} of ${count}`;
  });
}

// "R 31.2  A 10.4  S 45.0 mm", the value of each series there, and whether it is in the mask.
function showPlace() {
  const fraction = nv.scene.crosshairPos;
  showSliders(fraction);
  const mm = Array.from(nv.frac2mm(fraction, 0, true)).slice(0, 3);
  const letters = ["RL", "AP", "SI"].map((pair, n) => `${pair[mm[n] < 0 ? 1 : 0]} ${Math.abs(mm[n]).toFixed(1)}`);
  const spans = [place("", `${letters.join("  ")} mm`)];
  for (const role of told.series) spans.push(place(role, digits(valueAt(role, mm))));
  spans.push(place(PROBABILITY, valueAt(PROBABILITY, mm).toFixed(2)));
  const label = images.has(MASK) ? Math.round(valueAt(MASK, mm)) : 0;
  if (label) spans.push(place("", told.segments.length > 1 ? told.segments[label - 1].label : "in the mask"));
  byId("place").replaceChildren(...spans);
}

function place(name, value) {
  const span = document.createElement("span");
  const strong = document.createElement("b");
  strong.textContent = value;
  span.append(name ? `${name} ` : "", strong);
  return span;
}

function valueAt(name, mm) {
  const image = images.get(name);
  return image.getValue(...image.mm2vox(mm));
}

