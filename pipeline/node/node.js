"use strict";
const EVERY_MS = 2000;
const byId = (id) => document.getElementById(id);

async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "X-Scanweave": "1", "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, options);
  if (answer.status === 401) location.reload();
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

async function act(action, study) {
  try {
    await ask(`/api/${action}`, { study: study || "" });
  } catch (error) {
    byId("standing").textContent = `${action}: ${error.message}`;
    return;
  }
  await show();
}

function cell(value, kind) {
  const made = document.createElement("td");
  if (kind) made.className = kind;
  if (value instanceof Node) made.append(value);
  else made.textContent = value === null || value === undefined ? "" : value;
  return made;
}

function button(words, action, study) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = words;
  made.addEventListener("click", () => { made.disabled = true; act(action, study); });
  return made;
}

function report(row) {
  if (!row.report) return row.study;
  const made = document.createElement("a");
  made.href = `/report/${encodeURIComponent(row.study)}`;
  made.textContent = row.study;
  return made;
}

const clock = (seconds) => seconds ? new Date(seconds * 1000).toLocaleString() : "";
const amount = (value) => typeof value === "number" ? value.toFixed(2) : "";

const ROWS = {
  undelivered: (row) => [cell(row.study, "hash"), cell(row.destination), cell(row.attempts, "number"),
    cell(row.reason, "words"), cell(button("Send again", "resend", row.study))],
  troubled: (row) => [cell(row.study, "hash"), cell(row.state), cell(`${row.code} ${row.message || ""}`, "words"),
    cell(row.attempts, "number"), cell(clock(row.ended)), cell(button("Try again", "retry", row.study))],
  arriving: (row) => [cell(row.study, "hash"), cell(row.images, "number"), cell(row.quiet_s, "number"),
    cell(button("Take now", "force", row.study))],
  waiting: (row) => [cell(row.study, "hash"), cell(row.state), cell(row.attempts, "number"), cell(clock(row.begun))],
  done: (row) => [cell(report(row), "hash"), cell(amount(row.volume_ml), "number"), cell(row.warnings, "number"),
    cell(amount(row.seconds), "number"), cell(clock(row.ended))],
};

function fill(name, rows) {
  const section = byId(name);
  section.hidden = !rows.length;
  section.querySelector("tbody").replaceChildren(...rows.map((row) => {
    const line = document.createElement("tr");
    line.append(...ROWS[name](row));
    return line;
  }));
}

async function show() {
  const state = await ask("/api/state");
  const counts = Object.entries(state.counts).filter(([, count]) => count).map(([name, count]) => `${count} ${name}`);
  const parts = [state.paused ? "paused" : "running", ...counts, `${state.associations} associations`,
    `${state.disk_free_gb} GB free`];
  byId("standing").textContent = parts.join(", ");
  byId("obstacles").hidden = !state.obstacles.length;
  byId("obstacles").textContent = state.obstacles.join("; ");
  byId("pause").hidden = state.paused;
  byId("resume").hidden = !state.paused;
  byId("resend").hidden = !state.undelivered.length;
  let any = false;
  for (const name of Object.keys(ROWS)) {
    fill(name, state[name]);
    any = any || state[name].length > 0;
  }
  byId("nothing").hidden = any;
}

byId("pause").addEventListener("click", () => act("pause"));
byId("resume").addEventListener("click", () => act("resume"));
byId("resend").addEventListener("click", () => act("resend"));

async function watch() {
  try {
    await show();
  } catch (error) {
    byId("standing").textContent = "the node does not answer";
  }
  setTimeout(watch, EVERY_MS);
}
watch();
