// Compiles a statement's circuit: node compile.mjs listen-v1 OUT_FOLDER
//
// Writes OUT_FOLDER/{NAME.r1cs, NAME.sym, NAME.wasm}. The compiler is deterministic: equal sources
// give equal bytes, which tests/circuits checks against the pinned artifacts.
import { spawnSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const CIRCUITS = dirname(fileURLToPath(import.meta.url));

// Runs the compiler. It sits in a sandbox that sees only relative paths from the working folder.
export function circom(args, cwd) {
  const compiler = createRequire(import.meta.url).resolve('circom2/cli.js');
  const run = spawnSync(process.execPath, [compiler, ...args], { cwd, encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`circom ${args[0]}:\n${run.stdout}${run.stderr}`);
  return run.stdout;
}

export function compile(statement, outFolder) {
  const out = resolve(outFolder);
  mkdirSync(out, { recursive: true });
  const options = ['--r1cs', '--wasm', '--sym', '--O2', '-l', 'node_modules'];
  const said = circom([`${statement}.circom`, ...options, '-o', relative(CIRCUITS, out)], CIRCUITS);
  const name = basename(statement);
  const scripts = join(out, `${name}_js`);
  renameSync(join(scripts, `${name}.wasm`), join(out, `${name}.wasm`));
  rmSync(scripts, { recursive: true });
  return {
    r1cs: join(out, `${name}.r1cs`),
    sym: join(out, `${name}.sym`),
    wasm: join(out, `${name}.wasm`),
    constraints: Number(/non-linear constraints: (\d+)/.exec(said)[1]),
    wires: Number(/wires: (\d+)/.exec(said)[1]),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [statement, outFolder] = process.argv.slice(2);
  if (!statement || !outFolder) {
    console.error('usage: node compile.mjs STATEMENT OUT_FOLDER');
    process.exit(2);
  }
  console.log(JSON.stringify(compile(statement, outFolder)));
}
