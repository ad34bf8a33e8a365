import { shown } from "../../engine/core/shown.ts";

/** Text made safe for element content and quoted attributes; controls that foreign names may hold are shown. */
export function escapeHtml(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return shown(text).replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

/** A number for people: four significant digits, no trailing zeros, powers of ten where it is tiny or huge. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

/** A share 0 … 1 as percent. */
export function formatPercent(value: number, decimals = 1): string {
  return Number.isFinite(value) ? `${(100 * value).toFixed(decimals)} %` : "–";
}

export interface TableOptions {
  readonly caption: string;
  readonly columns: readonly string[];
  /** The first cell of a row is its header. */
  readonly rows: readonly (readonly string[])[];
}

/** A table that scrolls sideways by itself on a narrow screen, also with the keyboard. */
export function table({ caption, columns, rows }: TableOptions): string {
  const head = columns.map((column) => `<th scope="col">${escapeHtml(column)}</th>`).join("");
  const body = rows
    .map(([first = "", ...rest]) => {
      const cells = rest.map((cell) => `<td>${escapeHtml(cell)}</td>`).join("");
      return `<tr><th scope="row">${escapeHtml(first)}</th>${cells}</tr>`;
    })
    .join("");
  return `<div class="scroll" role="region" tabindex="0" aria-label="${escapeHtml(caption)}"><table><caption>${escapeHtml(caption)}</caption><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>`;
}

/** A number to see first: what it is, its value, and a note below. */
export type Fact = readonly [name: string, value: string, note: string];

/** Facts beside each other; nothing where there are none. */
export function factList(facts: readonly Fact[]): string {
  const cells = facts.map(
    ([name, value, note]) =>
      `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}<small>${escapeHtml(note)}</small></dd></div>`,
  );
  return cells.length > 0 ? `<dl class="facts">${cells.join("")}</dl>` : "";
}

/** Something that unfolds. */
export function details(summary: string, content: string): string {
  return `<details><summary>${escapeHtml(summary)}</summary>${content}</details>`;
}
