
// A confusion matrix with too many classes for a table: one cell a pixel or more, and words for what is pointed at.

function drawMatrix(canvas) {
  const { confusion, classes } = data.rows[Number(canvas.dataset.matrix)].measured;
  const side = canvas.parentElement.clientWidth;
  const cell = side / classes.length;
  const scale = devicePixelRatio || 1;
  canvas.width = canvas.height = Math.round(side * scale);
  const ctx = canvas.getContext("2d");
  ctx.scale(scale, scale);
  const totals = confusion.map((row) => row.reduce((sum, n) => sum + n, 0) || 1);
  const heat = colour("heat");
  ctx.fillStyle = `rgba(${heat}, 0.05)`;
  ctx.fillRect(0, 0, side, side);
  confusion.forEach((row, i) => row.forEach((n, j) => {
    if (!n) return;
    ctx.fillStyle = `rgba(${heat}, ${0.2 + 0.8 * (n / totals[i])})`;
    ctx.fillRect(j * cell, i * cell, Math.max(1, cell - 0.2), Math.max(1, cell - 0.2));
  }));
  const hint = canvas.closest("figure").querySelector("figcaption span");
  const rest = hint.textContent;
  const says = (i, j) => `${classes[i]} taken for ${classes[j]}: ${confusion[i][j]} of ${totals[i]}`;
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    const [i, j] = [event.clientY - box.top, event.clientX - box.left].map((at) =>
      Math.min(classes.length - 1, Math.max(0, Math.floor((at / box.width) * classes.length))));
    hint.textContent = says(i, j);
  };
  const leave = () => { hint.textContent = rest; };
  const listeners = new AbortController();
  canvas.addEventListener("pointermove", point, listeners);
  canvas.addEventListener("pointerdown", point, listeners);
  canvas.addEventListener("pointerleave", leave, listeners);
  // Up and down go from class to class, left and right along its counts, over those that are nought.
  let at = null;
  const walk = (key) => {
    if (key === "Escape") {
      at = null;
      leave();
      return true;
    }
    const [down, right] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[key] || [];
    if (down === undefined) return false;
    const [i, j] = at || [0, 0];
    const row = Math.min(classes.length - 1, Math.max(0, at ? i + down : 0));
    const counted = confusion[row].flatMap((n, column) => (n ? [column] : []));
    const column = !at || down ? row : counted[right > 0 ? "find" : "findLast"]((one) => right * one > right * j) ?? j;
    at = [row, column];
    hint.textContent = heard.textContent = says(row, column);
    return true;
  };
  return { destroy() { listeners.abort(); leave(); }, walk };
}
