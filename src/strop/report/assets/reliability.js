
// Accuracy against confidence: a dot a bin, larger for more pictures, the diagonal, and the same after the temperature.

const diagonal = {
  id: "diagonal",
  beforeDatasetsDraw({ ctx, scales: { x, y } }) {
    ctx.save();
    ctx.strokeStyle = colour("soft");
    ctx.setLineDash([4, 4]);
    ctx.beginPath();
    ctx.moveTo(x.getPixelForValue(0), y.getPixelForValue(0));
    ctx.lineTo(x.getPixelForValue(100), y.getPixelForValue(100));
    ctx.stroke();
    ctx.restore();
  },
};

function drawReliability(canvas) {
  const { reliability, calibrated } = data.rows[Number(canvas.dataset.reliability)].measured;
  const most = Math.max(...reliability.map((bin) => bin.n));
  const look = (label, bins, tone, shape) => {
    const found = bins.filter((bin) => bin.n);
    return { label, borderColor: colour(tone), backgroundColor: colour(tone), pointStyle: shape, showLine: true, borderWidth: 1.5, clip: 12,
      pointRadius: found.map((bin) => 3 + 7 * Math.sqrt(bin.n / most)),
      data: found.map((bin) => ({ x: 100 * bin.confidence, y: 100 * bin.accuracy, n: bin.n })) };
  };
  const shown = [look("as it is", reliability, "blue", "circle")];
  if (calibrated && calibrated.reliability) shown.push(look("with the temperature", calibrated.reliability, "orange", "triangle"));
  const axis = (text) => ({ min: 0, max: 100, title: { display: true, text } });
  const says = ({ dataset, raw }) => `${dataset.label}: ${raw.y.toFixed(1)} % right at ${raw.x.toFixed(1)} %, ${raw.n} picture${raw.n === 1 ? "" : "s"}`;
  return new Chart(canvas, {
    type: "scatter",
    data: { datasets: shown },
    options: {
      scales: { x: axis("confidence, %"), y: axis("accuracy, %") },
      plugins: { legend: { align: "start", labels: { usePointStyle: true } }, tooltip: { callbacks: { label: says } } },
    },
    plugins: [diagonal],
  });
}
