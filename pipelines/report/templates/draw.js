"use strict";
// Draws the figures in the colours that the reader prefers, and again when that changes.
const drawAll = (figures, twins) => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  // A copy of a figure with every colour replaced by its twin; Plotly writes into what it is given.
  const repaint = (part, colours) => {
    if (typeof part === "string") return Object.hasOwn(colours, part) ? colours[part] : part;
    if (Array.isArray(part)) return part.map((item) => repaint(item, colours));
    if (part === null || typeof part !== "object") return part;
    return Object.fromEntries(Object.entries(part).map(([key, item]) => [key, repaint(item, colours)]));
  };

  const draw = () => {
    for (const [id, figure] of Object.entries(figures)) {
      const { data, layout } = repaint(figure, dark.matches ? twins : {});
      Plotly.react(id, data, layout, { displayModeBar: false, responsive: true });
    }
  };

  dark.addEventListener("change", draw);
  draw();
};
