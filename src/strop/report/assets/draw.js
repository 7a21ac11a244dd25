
// Draws what is to be seen: charts in closed fold-outs wait until they are opened, those of hundreds until they are near.

function draw(canvas) {
  const { front, curve, matrix, reliability } = canvas.dataset;
  if (front !== undefined) return drawFront(canvas);
  if (curve !== undefined) return drawCurve(canvas);
  if (matrix !== undefined) return drawMatrix(canvas);
  if (reliability !== undefined) return drawReliability(canvas);
  throw new Error("a canvas without data");
}

const AT_ONCE = 60;  // more charts than this wait until they come near the window
const seen = new IntersectionObserver((entries) => entries.forEach(({ isIntersecting, target }) => {
  if (isIntersecting) drawOne(target);
}), { rootMargin: "400px" });

function drawOne(canvas) {
  seen.unobserve(canvas);
  if (charts.has(canvas)) return;
  const drawn = draw(canvas);
  drawn.walk ??= walker(drawn);
  charts.set(canvas, drawn);
  body.dataset.charts = String(charts.size);
}

function drawVisible() {
  const isOpen = (canvas) => !canvas.closest("details:not([open])") && !charts.has(canvas);
  const waiting = [...document.querySelectorAll("canvas")].filter(isOpen);
  const most = document.documentElement.classList.contains("paper") ? Infinity : AT_ONCE;
  for (const canvas of waiting) {
    if (canvas.tabIndex < 0) listen(canvas);
    if (charts.size < most) drawOne(canvas);
    else seen.observe(canvas);
  }
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
