// The operators' page in a browser, if the gateway has it.

import { chromium } from 'playwright-core';

const ARGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

/** Signs in; undefined where there is no page. */
export async function openPage(url, key) {
  const res = await fetch(`${url}/dashboard`, { signal: AbortSignal.timeout(5000) });
  if (res.status === 404) return undefined;
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ARGS });
  const page = await browser.newPage();
  await page.goto(`${url}/dashboard`);
  await page.getByTestId('key').fill(key);
  await page.keyboard.press('Enter');
  await page.getByTestId('page').waitFor({ timeout: 20_000 });
  return {
    /** Waits until the page says so; returns the sentence that does. */
    async says(text) {
      const at = page.getByText(text).first();
      await at.waitFor({ timeout: 20_000 });
      return (await at.textContent()).trim();
    },
    close: () => browser.close(),
  };
}
