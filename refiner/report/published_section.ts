import { z } from "zod";
import { escapeHtml, table } from "./html.ts";

/** Schema of a table of published numbers below the user's own. */
export const publishedTableSchema = z.object({
  caption: z.string(),
  columns: z.array(z.string()),
  /** The first cell names the encoder; empty where there is nothing but texts. */
  rows: z.array(z.array(z.string())),
  /** What the numbers must be read with, or why there are none. */
  texts: z.array(z.string()),
});
export type PublishedTable = z.output<typeof publishedTableSchema>;

/** Tables of published numbers. The user's own stand in the same plain cells: they are not judged by them. */
export function publishedContent(tables: readonly PublishedTable[]): string {
  return tables
    .map(({ caption, columns, rows, texts }) => {
      const numbers = rows.length > 0 ? table({ caption, columns, rows }) : "";
      return `${numbers}${texts.map((text) => `<p class="soft">${escapeHtml(text)}</p>`).join("")}`;
    })
    .join("\n");
}
