// A page in the system's Chromium, for the tests beside it: what it complains of and what it asks
// for is written down from its first request on.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';

/** axe's text, to be evaluated in a page. */
export const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

/** `url` in a window of this width; `close` ends the browser and removes its folder. */
export async function open(url, width) {
  const folder = mkdtempSync(path.join(tmpdir(), 'herdgate-page-'));
  const options = { executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ARGUMENTS, viewport: { width, height: 900 } };
  const context = await chromium.launchPersistentContext(folder, { ...options, colorScheme: 'light' });
  const page = await context.newPage();
  const [complaints, asked] = [[], []];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (request) => asked.push(request.url()));
  const close = async () => {
    await context.close();
    rmSync(folder, { recursive: true, force: true });
  };
  await page.goto(url);
  return { page, complaints, asked, close };
}
