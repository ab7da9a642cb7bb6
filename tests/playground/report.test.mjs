// A report of the load lab in Chromium: REPORT names its folder (dist/load). It must ask for nothing,
// complain of nothing, show each plot and table of report.json, and hold in a narrow window, dark and
// light, with axe looking on. PICTURES names a folder for PNGs of the plots in PLOTS, for the README.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { AXE, open } from './browser.mjs';

const FOLDER = path.resolve(process.env.REPORT ?? 'dist/load');
const PAGE = pathToFileURL(path.join(FOLDER, 'report.html')).href;
const RUN = JSON.parse(readFileSync(path.join(FOLDER, 'report.json'), 'utf8'));

let close;
let page;
let complaints;
let asked;

before(async () => {
  ({ page, complaints, asked, close } = await open(PAGE, 1100));
});

after(() => close?.());

test('it needs no network and complains of nothing', () => {
  assert.deepEqual(asked, [PAGE]);
  assert.deepEqual(complaints, []);
});

test('each plot, table and check of the run is there', async () => {
  const count = (list) => RUN.parts.flatMap((part) => part[list]).length;
  assert.ok(count('plots') > 0 && count('tables') > 0 && count('checks') > 0);
  assert.equal(await page.locator('svg').count(), count('plots'));
  assert.equal(await page.locator('table').count(), count('tables'));
  assert.equal(await page.locator('.checks li').count(), count('checks'));
  assert.doesNotMatch(await page.content(), /NaN|Infinity|undefined/);
  for (const link of await page.locator('nav a').all()) {
    assert.equal(await page.locator(await link.getAttribute('href')).count(), 1);
  }
});

test('nothing is drawn outside of its plot, and no two words lie on one another', async () => {
  const faults = await page.evaluate(() => [...document.querySelectorAll('svg')].flatMap((svg) => {
    const [, , width, height] = svg.getAttribute('viewBox').split(' ').map(Number);
    const name = svg.querySelector('title').textContent;
    const box = (node) => node.getBBox();
    const outside = [...svg.querySelectorAll('text,path,rect')].filter((node) => {
      const { x, y, width: w, height: h } = box(node);
      return x < -1 || y < -1 || x + w > width + 1 || y + h > height + 1;
    }).map((node) => `${name}: ${node.textContent || node.outerHTML.slice(0, 80)} is outside`);
    const words = [...svg.querySelectorAll('text')].map((node) => ({ text: node.textContent, ...JSON.parse(JSON.stringify(box(node), ['x', 'y', 'width', 'height'])) }));
    const lying = words.flatMap((a, n) => words.slice(n + 1)
      .filter((b) => a.x + 1 < b.x + b.width && b.x + 1 < a.x + a.width && a.y + 4 < b.y + b.height && b.y + 4 < a.y + a.height)
      .map((b) => `${name}: "${a.text}" and "${b.text}"`));
    return [...outside, ...lying];
  }));
  assert.deepEqual(faults, []);
});

test('it holds in a narrow window, dark and light, and axe finds nothing', async () => {
  await page.evaluate(AXE);
  for (const colorScheme of ['light', 'dark']) {
    for (const width of [1100, 400]) {
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme });
      assert.ok(await page.evaluate(() => document.scrollingElement.scrollWidth) <= width, `wider than ${width}`);
      const found = await page.evaluate(() => globalThis.axe.run());
      assert.deepEqual(found.violations.map(({ id, nodes }) => [id, nodes[0].html.slice(0, 120)]), []);
    }
  }
  await page.setViewportSize({ width: 1100, height: 900 });
  await page.emulateMedia({ colorScheme: 'light' });
});

test('pictures for the README', { skip: !process.env.PICTURES }, async () => {
  mkdirSync(process.env.PICTURES, { recursive: true });
  for (const name of process.env.PLOTS.split(',')) {
    await page.setViewportSize({ width: 760, height: 300 });
    await page.setContent(`<style>body{margin:0;background:#fff}svg{display:block}</style>${readFileSync(path.join(FOLDER, `${name}.svg`), 'utf8')}`);
    await page.screenshot({ path: path.join(process.env.PICTURES, `load-${name}.png`) });
  }
});
