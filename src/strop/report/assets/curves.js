
// Loss, accuracy and recall over the epochs.

const bestEpoch = {
  id: "bestEpoch",
  afterDatasetsDraw(chart, _, { epoch }) {
    if (!epoch) return;
    const { ctx, scales: { x }, chartArea } = chart;
    const at = x.getPixelForValue(epoch);
    ctx.save();
    ctx.strokeStyle = colour("soft");
    ctx.setLineDash([3, 3]);
    ctx.beginPath();
    ctx.moveTo(at, chartArea.top);
    ctx.lineTo(at, chartArea.bottom);
    ctx.stroke();
    ctx.restore();
  },
};

function drawCurve(canvas) {
  const { metrics, best_epoch: epoch } = data.rows[Number(canvas.dataset.row)];
  const name = canvas.dataset.curve;
  const scale = name === "loss" ? 1 : 100;
  const line = (split) => metrics.map((entry) => {
    const value = entry[split] && entry[split][name];
    return { x: entry.epoch, y: typeof value === "number" ? scale * value : null };
  });
  const look = (label, split, tone, dash) => ({ label, data: line(split), borderColor: colour(tone),
    backgroundColor: colour(tone), borderDash: dash, borderWidth: 2, pointRadius: metrics.length < 3 ? 3 : 0, pointHitRadius: 8 });
  const alone = metrics.length === 1 ? 1 : 0;  // one epoch is a point in the middle
  return new Chart(canvas, {
    type: "line",
    data: { datasets: [look("training", "train", "orange", [5, 4]), look("validation", "val", "blue", [])]
      .filter((set) => set.data.some(({ y }) => y !== null)) },
    options: {
      interaction: { mode: "index", intersect: false },
      scales: { x: { type: "linear", title: { display: true, text: "epoch" }, ticks: { precision: 0, includeBounds: false },
        min: metrics[0].epoch - alone, max: metrics[metrics.length - 1].epoch + alone }, y: {} },
      plugins: { bestEpoch: { epoch },
        legend: { align: "start", labels: { boxWidth: 22, boxHeight: 0, usePointStyle: false } },
        tooltip: { callbacks: { title: (items) => `epoch ${items[0].parsed.x}` } } },
    },
    plugins: [bestEpoch],
  });
}
