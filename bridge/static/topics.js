// The page of topics: AsyncAPI's channels, each with its messages.

import { card, element, failed, fetched, prose, Schemas, show } from "/docs/docs.js";

const GROUPS = [
  ["Requests", (channel, action) => !channel["x-internal"] && action === "receive"],
  ["Answers", (channel) => !channel["x-internal"] && /response|\/reply\//.test(channel.address)],
  ["Websocket", (channel) => channel.address === "/websocket"],
  ["State", (channel) => !channel["x-internal"] && channel["x-retained"]],
  ["Notifications, changes and events", (channel) => !channel["x-internal"]],
  ["Internal", () => true],
];

function address(text) {
  return element("span", { class: "address" }, text.split(/(\{\w+\})/).map((part) =>
    part.startsWith("{") ? element("i", {}, part) : part));
}

function direction(channel, action) {
  if (channel.address === "/websocket") return element("span", { class: "badge way socket" }, "BOTH");
  const taken = action === "receive";
  return element("span", { class: `badge way ${taken ? "post" : "get"}` }, taken ? "PUBLISH" : "LISTEN");
}

function section(title, ...content) {
  return [element("h3", {}, title), ...content];
}

function parameters(channel) {
  const rows = Object.entries(channel.parameters ?? {});
  if (!rows.length) return [];
  return section("Parameters", element("div", { class: "scroll" }, element("table", {}, rows.map(([name, { description }]) =>
    element("tr", {}, element("td", {}, element("code", {}, name)), element("td", {}, prose(description)))))));
}

function message(found, schemas) {
  const inside = element("div");
  const title = [element("code", {}, found.name), " ", element("span", { class: "about" }, prose(found.summary))];
  const made = element("details", { class: "nested" }, element("summary", {}, title), inside);
  made.addEventListener("toggle", () => {
    if (!inside.hasChildNodes()) inside.append(...schemas.described(found.payload));
  });
  return made;
}

function body(channel, operation, schemas, whole) {
  const messages = Object.values(channel.messages).map((each) => schemas.resolved(each));
  const facts = [];
  if (channel["x-retained"]) facts.push("retained: the latest message comes with the subscription");
  if (operation?.reply) facts.push(`answered on ${schemas.resolved(operation.reply.channel).address}`);
  return [
    facts.length ? element("ul", { class: "chips" }, facts.map((fact) => element("li", {}, fact))) : null,
    ...parameters(channel),
    ...(messages.length === 1
      ? section("Message", element("p", { class: "about" }, prose(messages[0].summary)), ...schemas.described(messages[0].payload))
      : section("Messages", ...messages.map((each) => message(each, schemas, whole)))),
  ];
}

function servers(whole) {
  const list = document.getElementById("servers");
  for (const [name, server] of Object.entries(whole.servers)) {
    const port = server.host.split(":").pop();
    list.append(element("dt", {}, name), element("dd", {}, element("code", {}, `${server.protocol}, port ${port}${server.pathname ?? ""}`), " ",
      prose(server.description ?? `MQTT ${server.protocolVersion}`)));
  }
}

function page(whole) {
  const schemas = new Schemas(whole);
  servers(whole);
  const groups = new Map(GROUPS.map(([title]) => [title, []]));
  for (const [name, channel] of Object.entries(whole.channels)) {
    const operation = Object.values(whole.operations).find((each) => each.channel.$ref === `#/channels/${name}`);
    const head = [direction(channel, operation?.action), address(channel.address), element("span", { class: "about" }, prose(channel.summary))];
    const socket = channel.address === "/websocket";
    const [title] = GROUPS.find(([group, fits]) => (socket ? group === "Websocket" : fits(channel, operation?.action)));
    groups.get(title).push(card(name, head, () => body(channel, operation, schemas, whole)));
  }
  show([...groups].filter(([, cards]) => cards.length));
}

try {
  page(await fetched("asyncapi"));
} catch (error) {
  failed(error);
}
