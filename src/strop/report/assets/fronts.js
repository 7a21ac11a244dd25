
// Accuracy against what a model costs.

// Ticks at 1, 2 and 5 only: all of a logarithmic axis' ticks don't fit on a phone.
const isRound = (value) => {
  const first = value / 10 ** Math.floor(Math.log10(value) + 1e-9);
  return [1, 2, 5].some((step) => Math.abs(first - step) < 1e-6);
};

function costAxis(costs, title) {
  const log = Math.max(...costs) > 4 * Math.min(...costs);
  const axis = { type: log ? "logarithmic" : "linear", title: { display: true, text: title } };
  if (!log) return { ...axis, grace: "12%" };
  return {
    ...axis, min: Math.min(...costs) / 1.6, max: Math.max(...costs) * 1.6,
    ticks: { autoSkip: false, maxRotation: 0, callback: (value) => (isRound(value) ? digits(value) : null) },
    grid: { color: (context) => (context.tick && isRound(context.tick.value) ? colour("grid") : "transparent") },
  };
}

// An accuracy axis never goes beyond 100 %.
const ceiling = (top) => (top >= 100 ? { max: 100 } : { suggestedMax: top });

const errorBars = {
  id: "errorBars",
  beforeDatasetsDraw(chart) {
    const { ctx, scales: { y }, chartArea } = chart;
    ctx.save();
    ctx.beginPath();
    ctx.rect(chartArea.left, chartArea.top, chartArea.width, chartArea.height);
    ctx.clip();
    ctx.strokeStyle = colour("soft");
    ctx.globalAlpha = 0.45;
    chart.getDatasetMeta(0).data.forEach((dot, i) => {
      const { low, high } = chart.data.datasets[0].data[i];
      if (low === null) return;
      const ends = [y.getPixelForValue(low), y.getPixelForValue(high)];
      ctx.beginPath();
      ctx.moveTo(dot.x, ends[0]);
      ctx.lineTo(dot.x, ends[1]);
      ends.forEach((end) => { ctx.moveTo(dot.x - 3, end); ctx.lineTo(dot.x + 3, end); });
      ctx.stroke();
    });
    ctx.restore();
  },
};

const pointNames = {
  id: "pointNames",
  afterDatasetsDraw(chart) {
    const { ctx, chartArea } = chart;
    const dots = chart.getDatasetMeta(0).data;
    const taken = dots.map((dot) => [dot.x - 6, dot.y - 6, dot.x + 6, dot.y + 6]);
    const isFree = (box) => box[0] >= chartArea.left && box[2] <= chartArea.right && box[1] >= chartArea.top
      && box[3] <= chartArea.bottom
      && !taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3]);
    ctx.save();
    ctx.font = `12px ${Chart.defaults.font.family}`;
    ctx.fillStyle = colour("ink");
    ctx.textBaseline = "top";
    dots.forEach((dot, i) => {
      const name = short(chart.data.datasets[0].data[i].row.id, chart.width < 420 ? 16 : 28);
      const width = ctx.measureText(name).width;
      for (const far of [7, 15, 25, 37]) {
        const spots = [[dot.x + far, dot.y - far - 13], [dot.x + far, dot.y + far - 1], [dot.x - far - width, dot.y - far - 13],
          [dot.x - far - width, dot.y + far - 1], [dot.x - width / 2, dot.y - far - 18], [dot.x - width / 2, dot.y + far + 4]];
        const spot = spots.find(([x, y]) => isFree([x - 2, y - 1, x + width + 2, y + 14]));
        if (spot) {
          taken.push([spot[0] - 2, spot[1] - 1, spot[0] + width + 2, spot[1] + 14]);
          ctx.fillText(name, spot[0], spot[1]);
          break;
        }
      }
    });
    ctx.restore();
  },
};

function drawFront(canvas) {
  const spec = data.fronts[Number(canvas.dataset.front)];
  const points = spec.points.map(({ row, cost }) => {
    const found = data.rows[row];
    const { accuracy, accuracy_interval: interval } = found.measured;
    return { x: cost, y: 100 * accuracy, row: found, low: interval ? 100 * interval[0] : null,
      high: interval ? 100 * interval[1] : null };
  });
  const front = spec.front.map((i) => points[i]);
  const onFront = new Set(front);
  const says = ({ raw }) => {
    const spread = raw.low === null ? "" : ` [${raw.low.toFixed(1)}, ${raw.high.toFixed(1)}]`;
    return [raw.row.id, `${raw.y.toFixed(2)} %${spread}`, `${digits(raw.x)} ${spec.unit}`];
  };
  return new Chart(canvas, {
    type: "scatter",
    data: { datasets: [
      { data: points, pointRadius: 5.5, pointHoverRadius: 7.5, pointBorderWidth: 2,
        pointBorderColor: points.map((point) => colour(onFront.has(point) ? "green" : "blue")),
        pointBackgroundColor: points.map((point) => colour(onFront.has(point) ? "green" : "card")) },
      { data: front, type: "line", stepped: "before", borderColor: colour("green"), borderWidth: 1.6, pointRadius: 0,
        pointHitRadius: 0 },
    ] },
    options: {
      layout: { padding: { right: 8 } },
      scales: { x: costAxis(points.map((point) => point.x), spec.title),
        y: { title: { display: true, text: "accuracy, %" }, suggestedMin: Math.min(...points.map((p) => p.low ?? p.y)) - 0.5,
          ...ceiling(Math.max(...points.map((p) => p.high ?? p.y)) + 0.5) } },
      plugins: { legend: { display: false },
        tooltip: { displayColors: false, filter: (item) => item.datasetIndex === 0, callbacks: { label: says } } },
    },
    plugins: [errorBars, pointNames],
  });
}
