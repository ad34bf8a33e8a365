// Markdown tables of results.

/** Rows of cells as a table; the first row holds the headings. */
export function table([head, ...rows]) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? "---" : "---:"))), ...rows.map(line)].join("\n");
}

/** Headings of the blocks, first to last. */
export function blockNames(count) {
  return Array.from({ length: count }, (_, i) => (i === count - 1 ? "last" : `block ${i}`));
}

/** Mean of numbers in percent, with the smallest and largest where there are several. */
export function spread(values) {
  const mean = (values.reduce((sum, value) => sum + value, 0) / values.length).toFixed(1);
  if (values.length === 1) return mean;
  return `${mean} (${Math.min(...values).toFixed(1)} … ${Math.max(...values).toFixed(1)})`;
}
