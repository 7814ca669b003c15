// Opens report.html of the folder named in a headless Chromium, at several sizes and in both colour schemes; prints a line
// that begins with FAIL for whatever is wrong, and ends with 1 if anything is.
import { chromium } from "playwright-core";
import { pathToFileURL } from "node:url";
import { join } from "node:path";

const folder = process.argv[2];
const address = pathToFileURL(join(folder, "report.html")).href;
const VIEWS = [
  { name: "desktop-light", width: 1280, height: 900, colorScheme: "light" },
  { name: "desktop-dark", width: 1280, height: 900, colorScheme: "dark" },
  { name: "phone-light", width: 390, height: 844, colorScheme: "light" },
  { name: "phone-dark", width: 390, height: 844, colorScheme: "dark" },
  { name: "narrow-light", width: 360, height: 740, colorScheme: "light" },
];

// Runs in the page: everything that is wrong with how it is laid out, a sentence each.
function faults(measured) {
  const found = [];
  const SLACK = 1.5;
  const say = (what, text) => found.push(`${what}: ${text.trim().replace(/\s+/g, " ").slice(0, 80)}`);
  if (document.documentElement.scrollWidth > window.innerWidth) {
    found.push(`the page is ${document.documentElement.scrollWidth} wide on a screen of ${window.innerWidth}`);
  }
  const figures = document.querySelectorAll("figure");
  if (measured && figures.length === 0) found.push("no plot at all, though something was measured");
  for (const figure of figures) {
    const plots = figure.querySelectorAll("svg.plot");
    if (plots.length !== 1) found.push(`${figure.id} has ${plots.length} plots`);
  }
  for (const plot of document.querySelectorAll("svg.plot")) {
    const name = plot.closest("figure")?.id ?? "a plot outside of a figure";
    const marks = [...plot.querySelectorAll("[class^=mark-], [class^=line-], [class^=area-]")];
    const size = each => { const box = each.getBBox(); return box.width + box.height; };
    if (!marks.some(mark => size(mark) > 0)) found.push(`${name} is empty`);
    for (const mark of plot.querySelectorAll("line, polyline, polygon, rect, circle")) {
      const style = getComputedStyle(mark);
      if (style.fill === "none" && style.stroke === "none") found.push(`${name}: <${mark.localName} class=${mark.getAttribute("class")}> has no colour`);
    }
    const edge = plot.getBoundingClientRect();
    const texts = [...plot.querySelectorAll("text")].map(each => ({ text: each.textContent, box: each.getBoundingClientRect() }));
    for (const { text, box } of texts) {
      if (text.trim() === "") continue;
      if (box.left < edge.left - SLACK || box.right > edge.right + SLACK || box.top < edge.top - SLACK || box.bottom > edge.bottom + SLACK) {
        say(`${name}: text is cut off`, text);
      }
    }
    texts.forEach((one, at) => texts.slice(at + 1).forEach(other => {
      const across = Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left);
      const along = Math.min(one.box.bottom, other.box.bottom) - Math.max(one.box.top, other.box.top);
      if (across > SLACK && along > SLACK + 2) say(`${name}: text on text`, `${one.text} / ${other.text}`);
    }));
  }
  // Text of the page: a box that does not scroll holds what is in it.
  for (const each of document.querySelectorAll("main *")) {
    if (each.closest("svg") || each.closest(".scroll")) continue;
    if (each.clientWidth > 0 && each.scrollWidth > each.clientWidth + SLACK && getComputedStyle(each).overflowX === "visible") {
      say(`<${each.localName}> holds more than its width`, each.textContent);
    }
  }
  for (const box of document.querySelectorAll(".scroll")) {
    if (box.getBoundingClientRect().right > window.innerWidth + SLACK) say("a table's box leaves the screen", box.textContent);
    // Scrolling sideways is for phones; what is folded away has no width.
    if (window.innerWidth >= 1280 && box.scrollWidth > box.clientWidth + SLACK) {
      say(`a table is ${box.scrollWidth} wide in a box of ${box.clientWidth}`, box.querySelector("caption").textContent);
    }
    for (const cell of box.querySelectorAll("th, td")) {
      if (cell.scrollWidth > cell.clientWidth + SLACK) say("a cell holds more than its width", cell.textContent);
    }
  }
  return found;
}

let failed = 0;
const fail = text => { failed += 1; console.log(`FAIL  ${text}`); };
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
try {
  for (const view of VIEWS) {
    const before = failed;
    const context = await browser.newContext({
      viewport: { width: view.width, height: view.height }, colorScheme: view.colorScheme, deviceScaleFactor: view.width < 500 ? 2 : 1,
    });
    const page = await context.newPage();
    page.on("console", message => { if (["error", "warning"].includes(message.type())) fail(`${view.name}: console: ${message.text()}`); });
    page.on("pageerror", error => fail(`${view.name}: ${error.message}`));
    page.on("request", request => { if (![address, "data:,"].includes(request.url())) fail(`${view.name}: it loads ${request.url()}`); });
    await page.goto(address);
    const measured = await page.evaluate(() => !document.querySelector("#findings .none"));
    const told = new Set(await page.evaluate(faults, measured));
    await page.screenshot({ path: join(folder, `${view.name}.png`), fullPage: true });
    await page.evaluate(() => document.querySelectorAll("details").forEach(each => { each.open = true; }));
    for (const fault of await page.evaluate(faults, measured)) told.add(fault);
    for (const fault of told) fail(`${view.name}: ${fault}`);
    if (view.name === "desktop-light") await page.pdf({ path: join(folder, "printed.pdf"), format: "A4" });
    const plots = await page.locator("svg.plot").count();
    if (failed === before) console.log(`ok    ${view.name}: ${plots} plots`);
    await context.close();
  }
} finally {
  await browser.close();
}
process.exit(failed > 0 ? 1 : 0);
