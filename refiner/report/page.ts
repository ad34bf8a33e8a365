import { escapeHtml } from "./html.ts";
import { style } from "./style.ts";

export type PageSection = readonly [id: string, title: string, content: string];

export interface PageOptions {
  readonly title: string;
  readonly heading: string;
  /** Content before the first section. */
  readonly opening: string;
  readonly sections: readonly PageSection[];
  readonly footer: string;
}

/** A page that stands alone: inline SVG, data URLs, no script and no network (a content security policy forbids both). */
export function page({ title, heading, opening, sections, footer }: PageOptions): string {
  const links = sections.map(([id, name]) => `<li><a href="#${id}">${escapeHtml(name)}</a></li>`).join("");
  const body = sections
    .map(
      ([id, name, content]) =>
        `<section id="${id}" aria-labelledby="${id}-heading"><h2 id="${id}-heading">${escapeHtml(name)}</h2>\n${content}</section>`,
    )
    .join("\n");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>${escapeHtml(title)}</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header><h1>${escapeHtml(heading)}</h1>
<nav aria-label="Sections"><ul>${links}</ul></nav></header>
<main id="content" tabindex="-1">
${opening}
${body}
</main>
<footer>${footer}</footer>
</body>
</html>
`;
}
