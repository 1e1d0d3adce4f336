// The form that calls a method on the server that the page came from.

import { coloured, element } from "/docs/docs.js";

const SCALARS = ["string", "integer", "number", "boolean"];
const ANSWER_SECONDS = 60;
const BASE = location.pathname.slice(0, location.pathname.lastIndexOf("/docs")); // where everything is below a prefix

// The type of a value that fits into one input, or null.
function scalar(schema) {
  const kinds = (schema.anyOf ?? [schema]).filter((kind) => kind.type !== "null");
  if (kinds.length !== 1) return null;
  return kinds[0].enum ? "enum" : SCALARS.includes(kinds[0].type) ? kinds[0].type : null;
}

function input(param, value) {
  const kind = scalar(param.schema);
  const choices = { boolean: ["true", "false"], enum: param.schema.enum ?? [] }[kind];
  if (choices) {
    const options = param.required ? choices : ["", ...choices];
    return element("select", { name: param.name }, options.map((choice) =>
      element("option", { selected: choice === String(value) }, choice)));
  }
  const text = value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value);
  const long = kind === null || text.includes("\n") || param.name === "script";
  if (long) return element("textarea", { name: param.name, spellcheck: "false" }, text);
  return element("input", { name: param.name, value: text, autocomplete: "off", spellcheck: "false" });
}

function parsed(param, text) {
  const kind = scalar(param.schema);
  if (kind === "string" || kind === "enum") return text;
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${param.name}: expected JSON, such as 1, true, ["x"] or {"a": null}`);
  }
}

function collected(form, method) {
  const found = {};
  for (const param of method.params) {
    const text = form.elements[param.name].value;
    if (text !== "" || (param.required && scalar(param.schema) === "string")) found[param.name] = parsed(param, text);
  }
  return found;
}

// Objects by name as the query has them: every key an object, its fields with commas between.
function objectsQuery({ objects = {}, ...rest }) {
  const named = Object.entries(objects).map(([name, fields]) => [name, (fields ?? []).join(",")]);
  return [...named, ...Object.entries(rest)];
}

function query(params, style) {
  const pairs = style === "objects" ? objectsQuery(params) : Object.entries(params).map(([name, value]) =>
    typeof value === "object" ? [`${name}:json`, JSON.stringify(value)] : [name, value]);
  const text = new URLSearchParams(pairs).toString();
  return text && `?${text}`;
}

async function overHttp({ verb, path, operation }, params) {
  const inBody = verb !== "GET" && Object.keys(params).length > 0;
  const target = inBody ? path : path + query(params, operation["x-arguments"]);
  const headers = inBody ? { "Content-Type": "application/json" } : {};
  const answer = await fetch(BASE + target, { method: verb, headers, body: inBody ? JSON.stringify(params) : undefined });
  const text = await answer.text();
  return { status: `${answer.status} ${answer.statusText}`, ok: answer.ok, value: text ? JSON.parse(text) : "" };
}

let socket = null;
let last = 0;
const waiting = new Map();

function opened() {
  if (socket) return socket;
  socket = new Promise((resolve, reject) => {
    const made = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${BASE}/websocket`);
    made.onopen = () => resolve(made);
    made.onerror = () => reject(new Error("the websocket could not be opened"));
    made.onclose = () => {
      socket = null;
      for (const { reject: fail } of waiting.values()) fail(new Error("the websocket was closed"));
      waiting.clear();
    };
    made.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      waiting.get(message.id)?.resolve(message);
      waiting.delete(message.id);
    };
  });
  socket.catch(() => { socket = null; });
  return socket;
}

async function overSocket(method, params) {
  const connection = await opened();
  const id = ++last;
  const message = await new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    setTimeout(() => reject(new Error(`no answer within ${ANSWER_SECONDS} s`)), ANSWER_SECONDS * 1000);
    connection.send(JSON.stringify({ jsonrpc: "2.0", method, params, id }));
  });
  return { status: message.error ? `error ${message.error.code}` : "result", ok: !message.error, value: message };
}

export function tryIt(method, routes) {
  const example = Object.fromEntries((method.examples?.[0]?.params ?? []).map(({ name, value }) => [name, value]));
  const usable = method["x-flags"].includes("connection") ? [] : routes;
  const ways = [...usable.map((route) => [`${route.verb} ${route.path}`, (params) => overHttp(route, params)]),
    ["websocket", (params) => overSocket(method.name, params)]];
  const way = element("select", { "aria-label": "Transport" }, ways.map(([name], index) => element("option", { value: index }, name)));
  const careful = method["x-flags"].includes("changes");
  const button = element("button", { type: "submit" }, "Send");
  const status = element("span", { class: "status", role: "status" });
  const shown = element("div");

  async function send(form) {
    const began = performance.now();
    status.className = "status";
    status.textContent = "waiting …";
    try {
      const answer = await ways[way.value][1](collected(form, method));
      status.textContent = `${answer.status}, ${(performance.now() - began).toFixed(0)} ms`;
      status.classList.toggle("failed", !answer.ok);
      shown.replaceChildren(coloured(answer.value));
    } catch (error) {
      status.className = "status failed";
      status.textContent = error.message;
      shown.replaceChildren();
    }
  }

  // What changes something on the printer takes a second click.
  function onsubmit(event) {
    event.preventDefault();
    if (careful && !button.classList.contains("sure")) {
      button.classList.add("sure");
      button.textContent = "Really send?";
      setTimeout(calm, 4000);
      return;
    }
    calm();
    send(event.target);
  }

  function calm() {
    button.classList.remove("sure");
    button.textContent = "Send";
  }

  const fields = method.params.map((param) =>
    element("label", {}, element("code", {}, param.name), input(param, example[param.name])));
  return element("form", { onsubmit }, fields, element("div", { class: "send" }, way, button, status), shown);
}
