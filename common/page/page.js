/*
 * The page of a gateway: asks /status.json every two seconds, listens to /events, and shows both. What a peer said is put
 * into the page as text alone (textContent), never as markup.
 */
"use strict";

const EVERY_MS = 2000;
const EVENTS_MOST = 200;
const ROWS_MOST = 500;
const SVG = "http://www.w3.org/2000/svg";
const id = name => document.getElementById(name);

/* What the chart can show: of which samples, how many seconds of them, and how the axis is labelled. */
const SPANS = {
  minutes: { samples: "hour", size: 600, step: 2.5, unit: "min" },
  hour: { samples: "hour", size: 3600, step: 15, unit: "min" },
  day: { samples: "day", size: 86400, step: 6, unit: "h" },
};
let span = "minutes";
let latest = null;
let answered = 0;

/* --- words --- */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const number = n => Number.isFinite(n) ? whole.format(n) : "–";
const text = value => value === undefined || value === null || value === "" ? "–" : String(value);

function bytes(n) {
  if (!Number.isFinite(n)) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; n >= 1024 && unit < units.length - 1; unit++) n /= 1024;
  return (unit === 0 || n >= 100 ? n.toFixed(0) : n.toFixed(1)) + " " + units[unit];
}

function lasting(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  seconds = Math.max(0, seconds);
  if (seconds < 60) return Math.floor(seconds) + " s";
  if (seconds < 3600) return Math.floor(seconds / 60) + " min";
  if (seconds < 172800) return Math.floor(seconds / 3600) + " h " + Math.floor(seconds % 3600 / 60) + " min";
  return Math.floor(seconds / 86400) + " d";
}

const since = (utc, now) => utc ? (now - Date.parse(utc)) / 1000 : NaN;
const ago = (utc, now) => utc ? lasting(since(utc, now)) + " ago" : "–";
const clock = utc => (utc || "").slice(11, 19) || "–";

/* --- elements --- */

function element(name, value, kind) {
  const made = document.createElement(name);
  if (value !== undefined) made.textContent = value;
  if (kind) made.className = kind;
  return made;
}

function cell(row, value, kind, title) {
  const made = element("td", text(value), kind);
  if (title) made.title = title;
  row.append(made);
  return made;
}

function tag(value, kind) {
  return element("span", value, "tag " + kind);
}

function lock(kind, words) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "lock " + kind);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", words);
  path.setAttribute("d", kind === "secured" ? "M7 10V7a5 5 0 0 1 10 0v3h1.5v11h-13V10zm2 0h6V7a3 3 0 0 0-6 0z"
                                            : "M9 10h9.5v11h-13V10H7V7a5 5 0 0 1 9.600-2l-1.900.8A3 3 0 0 0 9 7z");
  svg.append(path);
  return svg;
}

/* A list or table body in one go; `empty` is what stands there where nothing does. */
function fill(holder, made) {
  const card = holder.closest(".card");
  const empty = card.querySelector(".empty");
  const table = holder.closest("table");
  holder.replaceChildren(...made);
  empty.hidden = made.length > 0;
  if (table) table.hidden = made.length === 0;
}

function tile(name, value, kind, note) {
  id(name).textContent = value;
  id(name).closest(".tile").className = "tile " + kind;
  id(name + "-note").textContent = note || "\u00a0";
}

/* --- what is above --- */

function showStatus(status, now) {
  const state = id("state");
  document.title = text(status.sysid) + " · " + text(status.program);
  id("sysid").textContent = text(status.sysid);
  id("program").textContent = text(status.program) + " " + text(status.version);
  id("uptime").textContent = lasting(since(status.started, now));
  id("accepted").textContent = number(status.accepted);
  id("workers").textContent = number(status.workers);
  id("pid").textContent = text(status.pid);
  state.textContent = status.draining ? "draining" : status.ready ? "serving" : "not ready";
  state.className = "pill " + (status.draining ? "warn" : status.ready ? "good" : "bad");
}

/* What counts is what connections are between hosts: a local client in the clear whose way to the peer is TLS is secured there. */
function showShare(status) {
  const open = { ...status.links, undecided: status.open.undecided };
  const agreed = open.secured + open.clear;
  const all = agreed + open.undecided;
  const parts = id("sharebar").children;
  const kinds = ["secured", "clear", "undecided"];
  id("share").textContent = agreed > 0 ? Math.floor(100 * open.secured / agreed) + " %" : "–";
  kinds.forEach((kind, i) => {
    id("n-" + kind).textContent = number(open[kind]);
    parts[i].style.width = (all > 0 ? 100 * open[kind] / all : 0) + "%";
  });
  id("sharebar").setAttribute("aria-label", kinds.map(kind => open[kind] + " " + kind).join(", "));
}

/* The sum of the last minute of the history, by member. */
function lastMinute(history, member) {
  const hour = history.hour;
  return hour.samples.slice(-Math.ceil(60 / hour.step_s)).reduce((sum, sample) => sum + sample[member], 0);
}

function showTiles(data) {
  const summary = data.report.summary;
  const refused = lastMinute(data.history, "refused");
  const dated = data.certificates.filter(c => Number.isFinite(c.days_left)).sort((a, b) => a.days_left - b.days_left);
  const next = dated[0];
  tile("handshakes", number(lastMinute(data.history, "handshakes")), "", "in the last minute");
  tile("refused", number(refused), refused > 0 ? "bad" : "", "in the last minute");
  tile("never", number(summary.never_refuses), summary.never_refuses > 0 ? "warn" : "good",
       "of " + number(summary.names) + (summary.names === 1 ? " name" : " names") + ", as they came last");
  if (!next) tile("expiry", "–", "", "no certificate");
  else tile("expiry", next.days_left + " d", next.days_left < 7 ? "bad" : next.days_left < 30 ? "warn" : "good",
            text(next.subject));
}

/* --- the chart --- */

function shape(name, attributes, kind) {
  const made = document.createElementNS(SVG, name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (kind) made.setAttribute("class", kind);
  return made;
}

const path = points => points.map(([x, y], i) => (i ? "L" : "M") + x.toFixed(1) + " " + y.toFixed(1)).join("");

/* The samples of the span that was chosen, seconds between two of them, and how many there can be. */
function shown(history) {
  const { step_s: step, samples, until } = history[SPANS[span].samples];
  const most = Math.ceil(SPANS[span].size / step);
  return { step, until, most, samples: samples.slice(-most) };
}

/* The secured ones stand at the bottom, the clear ones upon them. */
function showChart(history) {
  const { samples, most } = shown(history);
  const top = Math.max(4, ...samples.map(s => s.secured + s.clear));
  const x = i => 1200 * (most - samples.length + i) / Math.max(1, most - 1);
  const y = n => 236 - 228 * n / top;
  const base = samples.map((s, i) => [x(i), y(0)]);
  const secured = samples.map((s, i) => [x(i), y(s.secured)]);
  const all = samples.map((s, i) => [x(i), y(s.secured + s.clear)]);
  const made = [0, .5, 1].map(part => shape("line", { x1: 0, x2: 1200, y1: y(top * part), y2: y(top * part) }, "grid"));
  if (samples.length > 1) {
    made.push(shape("path", { d: path(secured) + path(base.reverse()).replace("M", "L") + "Z" }, "area-secured"),
              shape("path", { d: path(all) + path([...secured].reverse()).replace("M", "L") + "Z" }, "area-clear"),
              shape("path", { d: path(all) }, "line line-clear"),
              shape("path", { d: path(secured) }, "line line-secured"));
  }
  samples.forEach((s, i) => {
    if (s.refused > 0) made.push(shape("line", { x1: x(i), x2: x(i), y1: 236, y2: 226 }, "refused"));
  });
  id("chart").replaceChildren(...made);
  id("peak").textContent = number(top) + " connections";
  id("axis").replaceChildren(...[4, 3, 2, 1, 0].map(part => element("span",
    part === 0 ? "now" : "−" + SPANS[span].step * part + " " + SPANS[span].unit)));
}

function readChart(event) {
  const reading = id("reading");
  const box = id("chart").getBoundingClientRect();
  const { step, samples, most, until } = shown(latest.history);
  const back = Math.round((1 - (event.clientX - box.left) / box.width) * (most - 1));
  const sample = samples[samples.length - 1 - back];
  const cursor = id("chart").querySelector(".cursor");
  if (cursor) cursor.remove();
  reading.hidden = !sample;
  if (!sample) return;
  const at = 1200 * (most - 1 - back) / Math.max(1, most - 1);
  id("chart").append(shape("line", { x1: at, x2: at, y1: 0, y2: 240 }, "cursor"));
  reading.textContent = clock(new Date(Date.parse(until) - back * step * 1000).toISOString()) + " UTC: " +
    number(sample.secured) + " secured, " + number(sample.clear) + " clear, " + number(sample.refused) + " refused, " +
    number(sample.handshakes) + " handshakes";
}

/* --- tables --- */

const STATES = { "fell-back": ["back in the clear", "bad"], refused: ["refused", "bad"], failed: ["failed", "bad"],
  mixed: ["secured and clear", "clear"], clear: ["clear", "clear"], secured: ["secured", "secured"] };
const CAN = { done: "yes", offered: "yes, it offers it", none: "no", unknown: "not known" };

function showMigration(report, now) {
  const rows = report.names.slice(0, ROWS_MOST).map(name => {
    const row = element("tr");
    const [word, kind] = STATES[name.state] || [text(name.state), ""];
    cell(row, name.name, "name", name.agent ? "says it is " + name.agent : "");
    cell(row, "").replaceChildren(tag(word, kind));
    cell(row, CAN[name.tls] || text(name.tls));
    cell(row, number(name.secured), "num");
    cell(row, number(name.clear), "num");
    cell(row, ago(name.secured_last, now), "", name.secured_last);
    cell(row, ago(name.clear_last, now), "", name.clear_last);
    cell(row, number(name.secured_open + name.clear_open), "num");
    cell(row, (name.clear_networks || []).join(", "));
    cell(row, name.never_refuses ? "yes" : "no", "num", number(name.never) + " times so far");
    cell(row, name.ratcheted ? "held" : "–");
    return row;
  });
  fill(id("migration").tBodies[0], rows);
  id("migration-line").textContent = report.summary.text;
}

/* Which of the three it is, with words. */
function security(c) {
  if (c.secured) return ["secured", "TLS " + text(c.tls_version) + " " + text(c.tls_suite)];
  if (c.outcome === "clear" || c.asked === "raw") return ["clear", "in the clear"];
  return ["", text(c.stage)];
}

function showConnections(data, now) {
  const wanted = id("filter").value.toLowerCase().split(/\s+/).filter(word => word !== "");
  const shown = data.connections.filter(c => {
    const all = Object.values(c).join(" ").toLowerCase();
    return wanted.every(word => all.includes(word));
  });
  const rows = shown.slice(0, ROWS_MOST).map(c => {
    const row = element("tr");
    const [kind, words] = security(c);
    cell(row, "").replaceChildren(lock(kind, kind || "undecided"));
    cell(row, c.sysid, "name", c.agent ? "says it is " + c.agent : "");
    cell(row, c.from);
    cell(row, c.listener);
    cell(row, "", "", [c.tls_start, c.tls_alpn, c.confirmed ? "confirmed" : ""].filter(Boolean).join(", "))
      .replaceChildren(tag(words, kind));
    cell(row, c.rule ? c.rule : "the listener", "", c.policy);
    cell(row, c.to_name ? c.to_name + (c.to_secured ? " (TLS)" : "") : "", "", c.to);
    cell(row, bytes(c.up), "num");
    cell(row, bytes(c.down), "num");
    cell(row, lasting(since(c.started, now)), "num", c.started);
    row.title = "id " + text(c.id);
    return row;
  });
  fill(id("connections").tBodies[0], rows);
  id("connections-line").textContent = number(rows.length) + " of " + number(data.connections_total);
}

/* --- lists --- */

function item(name, kind, word, note, title) {
  const made = element("li");
  const strong = element("b", text(name));
  if (title) strong.title = title;
  made.append(strong, tag(word, kind), element("small", note || ""));
  return made;
}

function showCertificates(certificates) {
  fill(id("certificates"), certificates.map(c => {
    const kind = c.days_left < 7 ? "bad" : c.days_left < 30 ? "clear" : "secured";
    const bar = element("div", undefined, "bar");
    const part = element("i", undefined, { bad: "bad", clear: "warn" }[kind] || "secured");
    const made = item(c.subject, kind, c.days_left < 0 ? "expired" : c.days_left + " days",
                      [c.names, c.key, "serial " + text(c.serial), "until " + text(c.not_after)].filter(Boolean).join(" · "), c.file);
    part.style.width = Math.max(2, Math.min(100, 100 * c.days_left / 365)) + "%";
    bar.append(part);
    made.append(bar);
    return made;
  }));
}

const HEALTH = { up: "secured", down: "bad", "left out": "clear", disconnected: "bad", unknown: "" };

function showPeers(peers) {
  fill(id("peers"), peers.map(p => {
    const words = (p.addresses || []).map(a => a.address + ": " + text(a.health) + ", " + number(a.connections) + " open" +
      (a.detail ? " (" + a.detail + ")" : ""));
    return item(p.name, HEALTH[p.state] || "", text(p.state), text(p.kind) + " · " + words.join(" · "));
  }));
}

function showNotifiers(notifiers) {
  fill(id("notifiers"), notifiers.map(n => {
    const lost = (n.dropped || 0) + (n.failed || 0);
    const kind = n.failing ? "bad" : lost > 0 ? "clear" : "secured";
    return item(n.name, kind, n.failing ? "failing" : lost > 0 ? number(lost) + " lost" : number(n.taken) + " told",
                [n.kind, n.path, "on error: " + text(n.on_error), n.queue_bytes ? bytes(n.queued_bytes) + " waiting" : "",
                 n.error].filter(Boolean).join(" · "));
  }));
}

/* --- events --- */

const EVENT_KINDS = { "handshake-done": "secured", "handshake-starting": "secured", unsecured: "clear", refused: "bad", "handshake-failed": "bad" };

function showEvent(event) {
  const made = element("li", undefined, EVENT_KINDS[event.event] || "");
  const words = [event.sysid, event.remote, event.listener && "at " + event.listener,
    event.rule && "by " + event.rule, event.tls_version && "TLS " + event.tls_version + " " + text(event.tls_suite),
    event.reason, event.missed && event.missed + " events were missed"].filter(Boolean);
  made.append(element("span", clock(event.time)), element("span", text(event.event), "what"), element("span", words.join("  ")));
  made.title = JSON.stringify(event);
  id("events").prepend(made);
  while (id("events").childElementCount > EVENTS_MOST) id("events").lastElementChild.remove();
  id("events").closest(".card").querySelector(".empty").hidden = true;
}

function listen() {
  const source = new EventSource("/events");
  const take = message => {
    try {
      showEvent(JSON.parse(message.data));
    } catch (error) {
      console.warn("an event cannot be read: " + error.message);
    }
  };
  source.onmessage = take;
  source.onopen = () => { id("events-line").textContent = "as they come"; };
  source.onerror = () => { id("events-line").textContent = "not connected, trying again"; };
}

/* --- all of it --- */

function show(data) {
  const now = Date.parse(data.status.now) || Date.now();
  showStatus(data.status, now);
  showShare(data.status);
  showTiles(data);
  showChart(data.history);
  showMigration(data.report, now);
  showConnections(data, now);
  showCertificates(data.certificates);
  showPeers(data.peers);
  showNotifiers(data.notifiers);
}

async function ask() {
  try {
    const answer = await fetch("/status.json", { cache: "no-store" });
    if (!answer.ok) throw new Error("status " + answer.status);
    latest = await answer.json();
    answered = Date.now();
    show(latest);
  } catch (error) {
    id("state").textContent = "not reachable";
    id("state").className = "pill bad";
    console.warn(error.message);
  }
  id("fresh").textContent = answered ? "as of " + new Date(answered).toISOString().slice(11, 19) + " UTC" : "no answer yet";
  setTimeout(ask, EVERY_MS);
}

document.querySelectorAll("[data-span]").forEach(button => button.addEventListener("click", () => {
  span = button.dataset.span;
  document.querySelectorAll("[data-span]").forEach(b => b.setAttribute("aria-pressed", String(b === button)));
  if (latest) showChart(latest.history);
}));
id("filter").addEventListener("input", () => { if (latest) showConnections(latest, Date.parse(latest.status.now)); });
id("chart").addEventListener("pointermove", event => { if (latest) readChart(event); });
id("chart").addEventListener("pointerleave", () => {
  const cursor = id("chart").querySelector(".cursor");
  id("reading").hidden = true;
  if (cursor) cursor.remove();
});
ask();
listen();
