// Answers questions as the page does, with the program that it carries: a JSON array of questions on
// standard input, an array of answers out.
import { readFileSync } from 'node:fs';
import { load } from '../../tools/playground/src/program.mjs';

const ask = await load(readFileSync(new URL('../../dist/playground.wasm', import.meta.url)));
const answers = [];
for (const question of JSON.parse(readFileSync(0, 'utf8'))) answers.push(await ask(question));
process.stdout.write(JSON.stringify(answers));
