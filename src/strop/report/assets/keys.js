
// The arrow keys go through a chart's points as the pointer does, and where they stand is said aloud.

const heard = document.createElement("p");
heard.className = "heard";
heard.setAttribute("aria-live", "polite");
body.append(heard);

// What the pointer would show at once: of curves all lines at an epoch, else one point, from left to right.
function stops({ config, data: { datasets } }) {
  const points = datasets.flatMap((set, datasetIndex) => (config.type !== "line" && set.type === "line" ? [] : set.data
    .map((point, index) => ({ datasetIndex, index, ...point })).filter(({ y }) => y !== null)));
  points.sort((a, b) => a.x - b.x);
  if (config.type !== "line") return points.map((point) => [point]);
  return [...new Set(points.map(({ x }) => x))].map((x) => points.filter((point) => point.x === x));
}

function show(chart, points) {
  const active = points.map(({ datasetIndex, index }) => ({ datasetIndex, index }));
  chart.setActiveElements(active);
  chart.tooltip.setActiveElements(active, { x: 0, y: 0 });
  chart.update();
  const { title, body: lines } = chart.tooltip;
  heard.textContent = active.length ? [...title, ...lines.flatMap((part) => part.lines)].join(", ") : "";
}

function walker(chart) {
  const all = stops(chart);
  let place = -1;
  return (key) => {
    const to = { ArrowRight: place + 1, ArrowLeft: Math.max(0, place - 1), Home: 0, End: all.length - 1, Escape: -1 }[key];
    if (to === undefined) return false;
    place = Math.min(to, all.length - 1);
    show(chart, place < 0 ? [] : all[place]);
    return true;
  };
}

function listen(canvas) {
  canvas.tabIndex = 0;
  canvas.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey && charts.get(canvas)?.walk(event.key)) event.preventDefault();
  });
  canvas.addEventListener("blur", () => charts.get(canvas)?.walk("Escape"));
}
