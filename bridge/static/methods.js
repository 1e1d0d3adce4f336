// The page of methods: OpenRPC says what they are, OpenAPI how they are reached over HTTP.

import { card, coloured, element, failed, fetched, prose, Schemas, show } from "/docs/docs.js";
import { tryIt } from "/docs/try.js";

function routesByMethod(openapi) {
  const found = {};
  for (const [path, verbs] of Object.entries(openapi.paths)) {
    for (const [verb, operation] of Object.entries(verbs)) {
      (found[operation["x-method"]] ??= []).push({ verb: verb.toUpperCase(), path, operation });
    }
  }
  return found;
}

function badges(routes) {
  const verbs = [...new Set(routes.map((route) => route.verb))];
  const shown = verbs.map((verb) => element("span", { class: `badge ${verb.toLowerCase()}` }, verb));
  return element("span", { class: "badges" }, shown.length ? shown : element("span", { class: "badge socket" }, "RPC"));
}

const FLAGS = {
  changes: "changes something, and leaves a record of who did it",
  secret: "private topics only; nothing of it is recorded",
  urgent: "overtakes everything else",
  connection: "needs a connection that stays: websocket or MQTT",
};

function traits(method) {
  const deadline = method["x-deadline"];
  const rows = [
    ["permission", method["x-permission"]],
    ["agent", method["x-agent"]],
    ["deadline", deadline === null ? "none" : `${deadline} s`],
  ];
  return element("ul", { class: "chips" },
    rows.map(([name, value]) => element("li", {}, `${name} `, element("b", {}, value))),
    method["x-flags"].map((flag) => element("li", { class: "careful" }, FLAGS[flag] ?? flag)));
}

function section(title, ...content) {
  return [element("h3", {}, title), ...content];
}

function params(method, schemas) {
  if (!method.params.length) return section("Params", element("p", { class: "type" }, "None."));
  return section("Params", schemas.table(method.params));
}

function ways(method, routes) {
  const rows = routes.map(({ verb, path }) => [element("span", { class: `badge ${verb.toLowerCase()}` }, verb), path]);
  rows.push([element("span", { class: "badge socket" }, "MQTT"), `{instance}/rpc/{client}/${method.name.replaceAll(".", "/")}`]);
  return element("div", { class: "scroll" }, element("table", {},
    rows.map(([badge, address]) => element("tr", {}, element("td", {}, badge), element("td", {}, element("code", {}, address))))));
}

function errors(method, schemas) {
  const rows = method.errors.map((error) => schemas.resolved(error));
  return section("Errors", element("div", { class: "scroll" }, element("table", {}, rows.map((error) =>
    element("tr", {}, element("td", {}, element("code", {}, String(error.code))), element("td", {}, error.message))))));
}

function example(method) {
  const [found] = method.examples ?? [];
  if (!found) return [];
  const named = Object.fromEntries(found.params.map(({ name, value }) => [name, value]));
  const request = { jsonrpc: "2.0", method: method.name, ...(found.params.length ? { params: named } : {}), id: 1 };
  return section("Example", coloured(request), coloured({ jsonrpc: "2.0", result: found.result.value, id: 1 }));
}

function body(method, routes, schemas) {
  const result = method.result.schema;
  return [
    traits(method),
    ...section("Reached by", ways(method, routes)),
    ...params(method, schemas),
    ...section("Result", ...schemas.described(result)),
    ...errors(method, schemas),
    ...example(method),
    ...(method["x-permission"] === "agent" ? [] : section("Try it", tryIt(method, routes, schemas))),
  ];
}

function page(openrpc, openapi) {
  const schemas = new Schemas(openrpc);
  const routes = routesByMethod(openapi);
  const groups = new Map();
  for (const method of openrpc.methods) {
    const own = routes[method.name] ?? [];
    const head = [badges(own), element("span", { class: "name" }, method.name), element("span", { class: "about" }, prose(method.summary))];
    const group = method.tags[0].name;
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(card(method.name, head, () => body(method, own, schemas)));
  }
  show([...groups].sort(([one], [other]) => (one < other ? -1 : 1)));
}

try {
  page(...(await Promise.all([fetched("openrpc"), fetched("openapi")])));
} catch (error) {
  failed(error);
}
