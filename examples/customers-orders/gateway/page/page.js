"use strict";

// ---- what the page knows -------------------------------------------------

const customers = new Map(); // id -> {data, element, option}
const orders = new Map();    // id -> {data, element}
const shown = new Set();     // ids of the messages in the list
const next = {customers: null, orders: null}; // addresses of older entries
let live = false;            // false while messages of the past come in

const progress = {PENDING: 1, APPROVED: 2, CANCELLED: 3};
const reasons = {
  CREDIT_LIMIT_EXCEEDED: "credit limit exceeded",
  CUSTOMER_NOT_FOUND: "customer not found",
  BY_CUSTOMER: "by the customer",
};
// Who handles what; history keeps what it can join.
const receivers = {
  CustomerCreated: ["history"],
  OrderCreated: ["customers", "history"],
  OrderApproved: ["history"],
  OrderCancelled: ["customers", "history"],
  CreditReserved: ["orders"],
  CreditLimitExceeded: ["orders"],
  CustomerNotFound: ["orders"],
};
const maxMessages = 200, maxEntries = 200; // in a list, so that a page stays small that is open for days

// ---- small helpers -------------------------------------------------------

const $ = id => document.getElementById(id);
const short = id => id.length > 12 ? "…" + id.slice(-8) : id;
const formatMoney = new Intl.NumberFormat("en", {minimumFractionDigits: 2, maximumFractionDigits: 2});
const money = m => formatMoney.format(m.amount);

// make builds an element; every text goes in as text, never as HTML.
function make(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

const calm = matchMedia("(prefers-reduced-motion: reduce)");

function flash(element) {
  if (calm.matches) return;
  const color = getComputedStyle(document.documentElement).getPropertyValue("--flash");
  element.animate([{backgroundColor: color}, {}], {duration: 1200, easing: "ease-out"});
}

// amountText makes JSON of what was typed. A number goes out digit by digit as it was typed;
// anything else goes out as a string, and the service says what is wrong with it.
function amountText(typed) {
  let text = typed.trim();
  if (/^\d+,\d{1,2}$/.test(text)) text = text.replace(",", ".");
  return /^-?(0|[1-9]\d*)(\.\d+)?$/.test(text) ? text : JSON.stringify(text);
}

async function call(method, path, body) {
  const request = {method, headers: {}};
  if (body !== undefined) {
    request.headers["Content-Type"] = "application/json";
    request.body = body;
  }
  const response = await fetch(path, request);
  const text = await response.text();
  let answer = null;
  try { answer = JSON.parse(text); } catch { /* not JSON: told below */ }
  if (!response.ok) throw new Error(answer && answer.detail || "the answer was " + response.status);
  return answer;
}

// attempt runs something and shows its error at the form.
async function attempt(where, what) {
  const problem = $(where);
  problem.textContent = "";
  try {
    await what();
    return true;
  } catch (error) {
    problem.textContent = error instanceof TypeError ? "The gateway does not answer." : error.message;
    return false;
  }
}

// place keeps a list newest first: ids grow with time.
function place(list, element, id) {
  element.dataset.id = id;
  for (const other of list.children) {
    if (other.dataset.id < id) {
      list.insertBefore(element, other);
      return;
    }
  }
  list.append(element);
}

// forgetOldest takes the last entry out of a list; it can be loaded again.
function forgetOldest(what, all) {
  const list = $(what), id = list.lastElementChild.dataset.id;
  const option = all.get(id).option;
  if (option) option.remove();
  all.delete(id);
  list.lastElementChild.remove();
  next[what] = "/" + what + "?after=" + list.lastElementChild.dataset.id;
  $(what + "-more").hidden = false;
}

// ---- customers -----------------------------------------------------------

function putCustomer(data, fetched) {
  let c = customers.get(data.customerId);
  if (!c) {
    if (!fetched && next.customers && isOlderThanAll($("customers"), data.customerId)) return;
    c = newCustomer(data);
    customers.set(data.customerId, c);
    $("customers-empty").hidden = true;
    Object.assign(c.data, data);
    for (const o of orders.values()) if (o.data.customerId === data.customerId) drawOrder(o); // now it has a name
    if (!fetched && customers.size > maxEntries) forgetOldest("customers", customers);
  }
  Object.assign(c.data, data);
  drawCustomer(c);
}

function newCustomer(data) {
  const element = make("li"), id = data.customerId;
  const name = make("span", "name", data.name);
  const history = make("button", "quiet small", "History");
  history.type = "button";
  history.setAttribute("aria-label", "History of " + data.name);
  history.addEventListener("click", () => showHistory(id));
  const credit = make("span", "detail"), bar = make("div", "bar"), fill = make("span");
  bar.append(fill);
  element.append(name, history, credit, bar);
  place($("customers"), element, id);
  const option = make("option", "", data.name);
  option.value = id;
  place($("customer"), option, id);
  $("customer").append($("customer").querySelector("option[value=nobody]"));
  if ($("customer").value === "nobody" && customers.size === 0) $("customer").value = id;
  return {data: {}, element, option, credit, fill, bar};
}

function drawCustomer(c) {
  const limit = c.data.creditLimit, available = c.data.availableCredit ?? limit;
  const text = money(available) + " available of " + money(limit);
  if (c.credit.textContent !== text) {
    if (c.credit.textContent) flash(c.element);
    c.credit.textContent = text;
    c.bar.title = "reserved: " + formatMoney.format(limit.amount - available.amount);
    c.fill.style.width = Math.min(100, 100 * (limit.amount - available.amount) / limit.amount) + "%";
  }
}

// ---- orders --------------------------------------------------------------

function putOrder(data, fetched) {
  let o = orders.get(data.orderId);
  if (!o) {
    if (!fetched && next.orders && isOlderThanAll($("orders"), data.orderId)) return;
    o = newOrder(data);
    orders.set(data.orderId, o);
    $("orders-empty").hidden = true;
    if (!fetched && orders.size > maxEntries) forgetOldest("orders", orders);
  }
  // A state never goes back, however late a message comes.
  const before = o.data.orderState;
  if (before && progress[before] >= progress[data.orderState]) return;
  Object.assign(o.data, data);
  drawOrder(o);
  if (before) flash(o.element);
}

function isOlderThanAll(list, id) {
  return list.lastElementChild !== null && id < list.lastElementChild.dataset.id;
}

function newOrder(data) {
  const element = make("li");
  const o = {data: {}, element, who: make("span", "name"), amount: make("span", "amount"),
    detail: make("span", "detail"), state: make("span", "state"), cancel: make("button", "quiet small", "Cancel")};
  o.cancel.type = "button";
  o.cancel.addEventListener("click", () => {
    o.cancel.disabled = true;
    attempt("order-problem", async () => putOrder(await call("POST", "/orders/" + data.orderId + "/cancel"), true))
      .finally(() => { o.cancel.disabled = false; });
  });
  const right = make("span", "right");
  right.append(o.cancel, o.state);
  element.append(o.who, o.amount, o.detail, right);
  place($("orders"), element, data.orderId);
  return o;
}

function drawOrder(o) {
  const {customerId, orderId, orderState, orderTotal, cancellationReason} = o.data;
  const known = customers.get(customerId);
  o.who.textContent = known ? known.data.name : customerId === "nobody" ? "Nobody" : "Customer " + short(customerId);
  o.amount.textContent = money(orderTotal);
  o.detail.textContent = cancellationReason ? reasons[cancellationReason] || cancellationReason : "order " + short(orderId);
  o.state.textContent = orderState;
  o.state.dataset.state = orderState;
  o.cancel.hidden = orderState !== "APPROVED";
  o.cancel.setAttribute("aria-label", "Cancel order of " + money(orderTotal) + " by " + o.who.textContent);
}

// ---- messages ------------------------------------------------------------

function apply(m) {
  const d = m.data || {};
  switch (m.type) {
    case "CustomerCreated":
      putCustomer(customers.has(d.customerId) ? {customerId: d.customerId} : {...d, availableCredit: d.creditLimit});
      break;
    case "CreditReserved": case "CreditReleased": case "CreditLimitExceeded":
      if (customers.has(d.customerId)) putCustomer({customerId: d.customerId, availableCredit: d.availableCredit});
      break;
    case "OrderCreated": putOrder({...d, orderState: "PENDING"}); break;
    case "OrderApproved": putOrder({...d, orderState: "APPROVED"}); break;
    case "OrderCancelled": putOrder({...d, orderState: "CANCELLED"}); break;
  }
}

function serviceOf(m) { return m.type.startsWith("Order") ? "orders" : "customers"; }

function showMessage(m, live) {
  if (shown.has(m.id)) return;
  shown.add(m.id);
  const source = serviceOf(m), to = receivers[m.type] || [];
  const item = make("li");
  item.dataset.source = source;
  item.dataset.id = m.id;
  const details = make("details"), summary = make("summary");
  const time = make("time", "", new Date(m.time).toLocaleTimeString("en-GB", {hour12: false}));
  time.dateTime = m.time;
  const route = source + (to.length ? " → " + to.join(", ") : "");
  summary.append(make("span", "name", m.type), time, make("span", "detail", route + " · " + about(m)));
  details.append(summary);
  details.addEventListener("toggle", () => { if (details.open && details.children.length === 1) details.append(fields(m)); });
  item.append(details);
  $("messages").prepend(item);
  $("messages-empty").hidden = true;
  while ($("messages").children.length > maxMessages) {
    shown.delete($("messages").lastElementChild.dataset.id);
    $("messages").lastElementChild.remove();
  }
  if (live) to.forEach(target => travel(source, target));
}

function about(m) {
  const d = m.data || {};
  const total = d.orderTotal || d.creditLimit;
  return [d.name || "order " + short(d.orderId || m.key), total && money(total)].filter(Boolean).join(" · ");
}

function fields(m) {
  const list = make("dl");
  const add = (name, value) => { if (value) list.append(make("dt", "", name), make("dd", "", value)); };
  add("id", m.id);
  add("channel", m.channel);
  add("key", m.key);
  add("lane", m.sequence ? m.lane + ", number " + m.sequence : "");
  add("caused by", m.causationId);
  add("data", JSON.stringify(m.data, null, 1));
  return list;
}

// travel shows a message on its way, as a dot along the path.
let travelling = 0;

function travel(from, to) {
  const path = $("path-" + from + "-" + to);
  if (!path || calm.matches || document.hidden || travelling >= 30) return;
  travelling++;
  const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  dot.setAttribute("r", "6");
  dot.setAttribute("class", from);
  $("flow").append(dot);
  const length = path.getTotalLength(), began = performance.now();
  const move = now => {
    const part = Math.min(1, (now - began) / 900);
    const at = path.getPointAtLength(length * part);
    dot.setAttribute("cx", at.x);
    dot.setAttribute("cy", at.y);
    if (part < 1) {
      requestAnimationFrame(move);
    } else {
      dot.remove();
      travelling--;
    }
  };
  requestAnimationFrame(move);
}

// ---- history -------------------------------------------------------------

async function showHistory(id) {
  const list = $("history-orders");
  list.replaceChildren();
  $("history-title").textContent = "History";
  $("history-text").textContent = "";
  $("history").showModal();
  try {
    const h = await call("GET", "/customers/" + id + "/orderhistory");
    $("history-title").textContent = "History of " + h.name;
    $("history-text").textContent = "Credit limit " + money(h.creditLimit) + ". What the history service has joined from both channels" +
      (h.next ? ", newest 100 orders." : ".");
    if (h.orders.length === 0) list.append(make("li", "detail", "No orders."));
    for (const o of h.orders) {
      const item = make("li"), state = make("span", "state", o.orderState);
      state.dataset.state = o.orderState;
      item.append(make("span", "detail", o.cancellationReason ? reasons[o.cancellationReason] : "order " + short(o.orderId)),
        make("span", "amount", money(o.orderTotal)), make("span"), state);
      list.append(item);
    }
  } catch (error) {
    $("history-text").textContent = error.message;
  }
}

$("history-close").addEventListener("click", () => $("history").close());

// ---- forms ---------------------------------------------------------------

$("customer-form").addEventListener("submit", async event => {
  event.preventDefault();
  const name = $("name").value, limit = amountText($("limit").value);
  await attempt("customer-problem", async () => {
    const {customerId} = await call("POST", "/customers", '{"name":' + JSON.stringify(name) + ',"creditLimit":{"amount":' + limit + "}}");
    putCustomer(await call("GET", "/customers/" + customerId), true);
    $("customer").value = customerId;
    $("name").value = $("limit").value = "";
    $("announce").textContent = "Customer " + name + " created.";
  });
});

async function placeOrder() {
  const customerId = $("customer").value, amount = amountText($("total").value);
  const body = '{"customerId":' + JSON.stringify(customerId) + ',"orderTotal":{"amount":' + amount + "}}";
  const {orderId} = await call("POST", "/orders", body);
  putOrder({orderId, customerId, orderState: "PENDING", orderTotal: {amount: Number(amount)}}, true);
}

$("order-form").addEventListener("submit", async event => {
  event.preventDefault();
  if (await attempt("order-problem", placeOrder)) $("announce").textContent = "Order placed.";
});

$("order-ten").addEventListener("click", () => attempt("order-problem", () => Promise.all(Array.from({length: 10}, placeOrder))));

// ---- lists and the stream ------------------------------------------------

async function load(what, path, put) {
  const answer = await call("GET", path);
  next[what] = answer.next || null;
  $(what + "-more").hidden = !next[what];
  for (const one of answer[what]) put(one, true);
}

const loadCustomers = path => load("customers", path, putCustomer);
const loadOrders = path => load("orders", path, putOrder);

for (const [what, more] of [["customers", loadCustomers], ["orders", loadOrders]]) {
  $(what + "-more").addEventListener("click", () => { if (next[what]) more(next[what]).catch(() => setLive("lost", "the gateway does not answer")); });
}

function setLive(state, text) {
  $("live").dataset.state = state;
  $("live").textContent = text;
}

// What comes while the lists are loaded waits for them: it may be newer than they are.
let loading = null, waiting = [];

function loadAll() {
  waiting = []; // what came before is in the lists
  loading = Promise.all([loadCustomers("/customers"), loadOrders("/orders")]).then(() => {
    setLive("live", "live");
    waiting.forEach(apply);
    waiting = [];
    loading = null;
  }).catch(() => {
    setLive("lost", "services do not answer, trying again");
    setTimeout(loadAll, 2000);
  });
}

// What arrives is taken in together, some 30 times a second, since there may be thousands.
let arrived = [];

function takeIn() {
  const all = arrived;
  arrived = [];
  all.forEach((a, i) => {
    if (i >= all.length - maxMessages) showMessage(a.message, a.live);
    if (!a.live) return; // the lists, which are loaded after this, know better
    if (loading) waiting.push(a.message); else apply(a.message);
  });
}

function connect() {
  const source = new EventSource("/events");
  source.addEventListener("open", () => { live = false; });
  // Sent when everything that passed before is told.
  source.addEventListener("live", () => {
    live = true;
    loadAll();
  });
  source.addEventListener("message", event => {
    arrived.push({message: JSON.parse(event.data), live});
    if (arrived.length === 1) setTimeout(takeIn, 30);
  });
  source.addEventListener("error", () => {
    setLive("lost", "connection lost, trying again");
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  });
}

connect();
