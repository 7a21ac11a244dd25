// What the drawings share: the data of the page, colours of the theme, how figures are written.

const body = document.body;
const fail = (message) => { body.dataset.failed = String(message); };
addEventListener("error", (event) => fail(event.message));
addEventListener("securitypolicyviolation", (event) => fail(`blocked: ${event.violatedDirective}`));

const data = JSON.parse(document.getElementById("data").textContent);
const charts = new Map();
const colour = (name) => getComputedStyle(body).getPropertyValue(`--${name}`).trim();
const digits = (value) => Number(value.toPrecision(3)).toString();
const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function applyTheme() {
  Chart.defaults.color = colour("soft");
  Chart.defaults.borderColor = colour("grid");
  Chart.defaults.font.family = getComputedStyle(body).fontFamily;
  Chart.defaults.animation = false;
  Chart.defaults.maintainAspectRatio = false;
}
