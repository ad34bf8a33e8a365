// Markdown tables of results.

/** Rows of cells as a table; the first row holds the headings. */
export function table([head, ...rows]) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? "---" : "---:"))), ...rows.map(line)].join("\n");
}

/** Mean of numbers in percent, with the smallest and largest where there are several. */
export function spread(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const text = mean.toFixed(1);
  if (values.length === 1) return text;
  return `${text} (${Math.min(...values).toFixed(1)} … ${Math.max(...values).toFixed(1)})`;
}
