import { shown } from "../../engine/core/shown.ts";

/**
 * A cell of the list beside features: the text itself, or, where a line or a terminal cannot hold it (tabs, line breaks, other
 * controls) or it begins with a quote, a JSON string in quotes. `textOfCell` undoes it.
 */
export function listCell(text: string): string {
  return needsQuotes(text) ? shown(JSON.stringify(text)) : text;
}

/** Whether a text does not stand in the list as it is. */
export function needsQuotes(text: string): boolean {
  return text.startsWith('"') || shown(text) !== text;
}

/** The text of a cell; lists of earlier versions had no quotes of this meaning. */
export function textOfCell(cell: string): string {
  if (!cell.startsWith('"')) return cell;
  try {
    return String(JSON.parse(cell));
  } catch {
    return cell;
  }
}
