import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeReport } from "../../../refiner/report/index.ts";
import { exampleRun } from "./example_run.ts";

const executable = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/google-chrome"].find(
  (path) => path !== undefined && existsSync(path),
);
if (!executable) console.warn("report in a browser: skipped, no Chromium here; install it or set CHROMIUM to its path");

describe.skipIf(!executable)("the report in Chromium", { timeout: 120_000 }, () => {
  let browser: Browser;
  let folder: string;
  let url: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "report-page-"));
    await writeFile(join(folder, "report.html"), writeReport(await exampleRun()));
    url = pathToFileURL(join(folder, "report.html")).href;
    browser = await chromium.launch({ executablePath: executable ?? "", args: ["--no-sandbox", "--disable-gpu"] });
  }, 120_000);

  afterAll(async () => {
    await browser.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** Opens the page; `SCREENSHOTS` names a folder to keep a picture of it in. */
  async function open(
    name: string,
    width: number,
    colorScheme: "light" | "dark",
  ): Promise<{ page: Page; problems: string[] }> {
    const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
    const problems: string[] = [];
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") problems.push(message.text());
    });
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("request", (request) => {
      if (!/^(file|data):/.test(request.url())) problems.push(`request to ${request.url()}`);
    });
    await page.goto(url);
    const pictures = process.env.SCREENSHOTS;
    if (pictures) await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
    return { page, problems };
  }

  it.each([
    ["light", 1200, "light"],
    ["dark", 1200, "dark"],
    ["phone", 360, "light"],
    ["phone-dark", 360, "dark"],
  ] as const)("%s: has no error, asks for nothing, and fits its width", async (name, width, scheme) => {
    const { page, problems } = await open(name, width, scheme);
    expect(problems).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
    const loaded = await page.evaluate(() => [...document.images].every((image) => image.naturalWidth > 0));
    expect(loaded).toBe(true);
    await page.close();
  });

  it("is dark where the system is", async () => {
    const { page } = await open("scheme", 800, "dark");
    const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    expect(background).toBe("rgb(20, 23, 28)");
    await page.close();
  });

  it("can be walked with the keyboard, from the skip link to the numbers of a chart", async () => {
    const { page } = await open("keyboard", 800, "light");
    await page.keyboard.press("Tab");
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("Skip to the content");
    const reached = new Set<string>();
    for (let press = 0; press < 60; press++) {
      await page.keyboard.press("Tab");
      const name = await page.evaluate(() => document.activeElement?.tagName ?? "");
      reached.add(name);
      if (name === "SUMMARY") break;
    }
    expect(reached).toContain("SUMMARY");
    await page.keyboard.press("Enter");
    expect(await page.evaluate(() => document.activeElement?.closest("details")?.open)).toBe(true);
    await page.close();
  });

  it("writes text large enough to read on a phone", async () => {
    const { page } = await open("text", 360, "light");
    const heights = await page.evaluate(() =>
      [...document.querySelectorAll(".chart svg text")].map((text) => text.getBoundingClientRect().height),
    );
    expect(Math.min(...heights)).toBeGreaterThan(11); // line height of about 10 px type
    await page.close();
  });
});
