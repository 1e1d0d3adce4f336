// What both pages share: elements, descriptions, schemas as tables, JSON in colours, the filter and the contents.

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

export async function fetched(name) {
  const answer = await fetch("/docs/" + name + ".json");
  if (!answer.ok) throw new Error(`${name}.json: ${answer.status}`);
  return answer.json();
}

// Text in which `code` is marked by backticks.
export function prose(text = "") {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

// JSON in colours, as nodes: what a server answers is never parsed as HTML.
export function coloured(value) {
  const made = element("pre");
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  const token = /("(?:\\.|[^"\\])*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
  let last = 0;
  for (const found of text.matchAll(token)) {
    made.append(text.slice(last, found.index));
    const kind = found[2] !== undefined ? "key" : found[1] !== undefined ? "string" : "number";
    made.append(element("span", { class: kind }, found[1] ?? found[0]), found[2] ?? "");
    last = found.index + found[0].length;
  }
  made.append(text.slice(last));
  return made;
}

export class Schemas {
  constructor(whole) {
    this.whole = whole;
  }

  resolved(schema) {
    if (!schema?.$ref) return schema ?? {};
    const path = schema.$ref.slice(2).split("/").map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
    return path.reduce((tree, part) => tree[part], this.whole);
  }

  // The type in a few words.
  type(schema) {
    if (schema.$ref) return schema.$ref.split("/").pop();
    if ("const" in schema) return JSON.stringify(schema.const);
    if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
    const several = schema.anyOf ?? schema.oneOf;
    if (several) return several.map((one) => this.type(one)).join(" | ");
    if (schema.prefixItems) return `[${schema.prefixItems.map((one) => this.type(one)).join(", ")}]`;
    if (schema.type === "array") return `list of ${this.inner(schema.items)}`;
    const values = schema.additionalProperties;
    if (schema.type === "object" && values) return `object of ${this.inner(values)}`;
    return [schema.type ?? "anything"].flat().join(" | ");
  }

  inner(schema) {
    const text = schema && schema !== true ? this.type(schema) : "anything";
    return text.includes(" | ") ? `(${text})` : text;
  }

  // Bounds and default, behind the type.
  limits(schema) {
    const found = [];
    if (schema.minimum !== undefined) found.push(`≥ ${schema.minimum}`);
    if (schema.maximum !== undefined) found.push(`≤ ${schema.maximum}`);
    if (schema.default !== undefined) found.push(`default ${JSON.stringify(schema.default)}`);
    return found.length ? `, ${found.join(", ")}` : "";
  }

  // Models that a schema is made of, each only once on the way down.
  parts(schema, above) {
    if (schema.$ref) return above.includes(schema.$ref) ? [] : [schema];
    const inner = [...(schema.anyOf ?? schema.oneOf ?? schema.allOf ?? []), ...(schema.prefixItems ?? [])];
    if (schema.items) inner.push(schema.items);
    if (typeof schema.additionalProperties === "object") inner.push(schema.additionalProperties);
    if (schema.properties) return [schema];
    return inner.flatMap((one) => this.parts(one, above));
  }

  // All members of an object, those of `allOf` together.
  members(schema, required = []) {
    const model = this.resolved(schema);
    const merged = {};
    for (const part of model.allOf ?? []) {
      for (const row of this.members(part)) merged[row.name] = row;
    }
    const needed = model.required ?? required;
    for (const [name, part] of Object.entries(model.properties ?? {})) {
      const known = merged[name];
      const description = part.description ?? known?.schema.description;
      merged[name] = { name, schema: { ...part, description }, required: known?.required || needed.includes(name) };
    }
    return Object.values(merged);
  }

  table(rows, above = []) {
    return element("div", { class: "scroll" }, element("table", {}, rows.map((row) => this.row(row, above))));
  }

  row({ name, schema, required }, above) {
    const about = element("td", {}, element("span", { class: "type" }, this.type(schema) + this.limits(schema)));
    if (schema.description) about.append(element("p", {}, prose(schema.description)));
    about.append(...this.parts(schema, above).map((part) => this.nested(part, above)));
    return element("tr", {},
      element("td", {}, element("code", {}, name), required ? null : element("span", { class: "optional" }, " optional")),
      about);
  }

  // A model, closed until somebody opens it.
  nested(part, above) {
    const inside = element("div");
    const title = part.$ref ? part.$ref.split("/").pop() : "members";
    const made = element("details", { class: "nested" }, element("summary", {}, title), inside);
    made.addEventListener("toggle", () => {
      if (!inside.hasChildNodes()) inside.append(...this.described(part, [...above, part.$ref]));
    });
    return made;
  }

  // A whole schema: what it is, and its members.
  described(schema, above = []) {
    const model = this.resolved(schema);
    const rows = this.members(schema);
    const found = [];
    if (schema.$ref && model.description) found.push(element("p", {}, prose(model.description)));
    if (rows.length) found.push(this.table(rows, [...above, schema.$ref]));
    else {
      found.push(element("p", { class: "type" }, this.type(schema)));
      found.push(...this.parts(schema, above).map((part) => this.nested(part, above)));
    }
    return found;
  }
}

// Groups of cards with a heading each, and the contents beside them.
export function show(groups) {
  const list = document.getElementById("list");
  const sections = groups.map(([title, cards]) => {
    const id = `group-${title.replaceAll(/[^\w]+/g, "-")}`;
    document.getElementById("contents").append(
      element("a", { href: `#${id}` }, title, element("span", {}, String(cards.length))));
    return element("section", { id }, element("h2", {}, title), cards);
  });
  list.replaceChildren(...sections);
  filterBy(document.getElementById("filter"), sections);
  openNamed();
  addEventListener("hashchange", openNamed);
}

function filterBy(input, sections) {
  const apply = () => {
    const wanted = input.value.trim().toLowerCase();
    for (const section of sections) {
      const cards = [...section.querySelectorAll(".card")];
      for (const card of cards) card.hidden = !card.querySelector("summary").textContent.toLowerCase().includes(wanted);
      section.hidden = cards.every((card) => card.hidden);
    }
  };
  input.addEventListener("input", apply);
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) {
      event.preventDefault();
      input.focus();
    }
  });
}

function openNamed() {
  const card = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (card?.matches("details")) {
    card.addEventListener("toggle", () => card.scrollIntoView(), { once: true });
    card.open = true;
  }
}

// A card whose body is made when it is first opened.
export function card(id, head, body) {
  const inside = element("div", { class: "body" });
  const made = element("details", { class: "card", id }, element("summary", {}, head), inside);
  made.addEventListener("toggle", () => {
    if (made.open && !inside.hasChildNodes()) inside.append(...body().filter(Boolean));
  });
  return made;
}

export function failed(error) {
  document.getElementById("list").replaceChildren(element("p", { class: "status failed" }, String(error)));
}
