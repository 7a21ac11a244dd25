
// Draws what is to be seen: charts in closed fold-outs wait until they are opened.

function draw(canvas) {
  const { front, curve, matrix, reliability } = canvas.dataset;
  if (front !== undefined) return drawFront(canvas);
  if (curve !== undefined) return drawCurve(canvas);
  if (matrix !== undefined) return drawMatrix(canvas);
  if (reliability !== undefined) return drawReliability(canvas);
  throw new Error("a canvas without data");
}

function drawVisible() {
  for (const canvas of document.querySelectorAll("canvas")) {
    if (canvas.closest("details:not([open])") || charts.has(canvas)) continue;
    const drawn = draw(canvas);
    drawn.walk ??= walker(drawn);
    charts.set(canvas, drawn);
    if (canvas.tabIndex < 0) listen(canvas);
  }
  body.dataset.charts = String(charts.size);
}

function redraw() {
  charts.forEach((chart) => chart.destroy());
  charts.clear();
  applyTheme();
  drawVisible();
}

const folds = [...document.querySelectorAll("details")];
const models = folds.filter((fold) => fold.classList.contains("model"));
const button = document.getElementById("open-all");
const areAllOpen = () => models.every((model) => model.open);
const openAll = (open) => { models.forEach((model) => { model.open = open; }); drawVisible(); };
folds.forEach((fold) => fold.addEventListener("toggle", () => {
  drawVisible();
  if (button) button.textContent = areAllOpen() ? "Close all" : "Open all";
}));
if (button) {
  button.hidden = false;
  button.addEventListener("click", () => openAll(!areAllOpen()));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

// Paper is white: what is printed is open and drawn in the light colours.
addEventListener("beforeprint", () => {
  document.documentElement.classList.add("paper");
  openAll(true);
  redraw();
});
addEventListener("afterprint", () => {
  document.documentElement.classList.remove("paper");
  redraw();
});

applyTheme();
if (location.hash === "#all") openAll(true);
drawVisible();
if (!body.dataset.failed) body.dataset.drawn = "yes";
