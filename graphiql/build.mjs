// Bundles the page into the folder named by the first argument: plain files under content-hashed names, beside
// bundle.json (which file is which) and the licences of everything that went in. scripts/build_graphiql.py compresses
// them and decides where they go.

import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";

import { build } from "esbuild";

const here = import.meta.dirname;
const out = path.resolve(process.argv[2]);

const WORKERS = {
  editor: "monaco-editor/esm/vs/editor/editor.worker.js",
  graphql: "monaco-graphql/esm/graphql.worker.js",
  json: "monaco-editor/esm/vs/language/json/json.worker.js",
};

const NOTICE_FILE = /^(licen[cs]e|notice|copying|third-?party-?notices)/i;

// Packages that are published without a licence text, each beside one that its authors publish with theirs.
const LICENCE_BESIDE = {
  "@graphiql/plugin-doc-explorer": "graphiql",
  "@graphiql/plugin-explorer": "graphiql",
  "@graphiql/plugin-history": "graphiql",
  "react-compiler-runtime": "react",
  "react-remove-scroll-bar": "react-remove-scroll",
};

const shared = {
  absWorkingDir: here,
  outdir: out,
  bundle: true,
  minify: true,
  metafile: true,
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
  define: { "process.env.NODE_ENV": '"production"' },
};

async function main() {
  await mkdir(out, { recursive: true });
  const workers = await build({ ...shared, entryPoints: WORKERS, entryNames: "[name].worker-[hash]", format: "iife" });
  const workerFiles = Object.fromEntries(
    Object.entries(workers.metafile.outputs).map(([file, { entryPoint }]) => [workerOf(entryPoint), `./${path.basename(file)}`]),
  );
  const page = await build({
    ...shared,
    entryPoints: { index: "src/main.jsx" },
    entryNames: "[name]-[hash]",
    chunkNames: "chunk-[hash]",
    assetNames: "[name]-[hash]",
    format: "esm",
    splitting: true,
    jsx: "automatic",
    // GraphiQL asks for these by their CommonJS names. Of a CommonJS module in a chunk of its own esbuild exports the
    // default alone, so that the named exports GraphiQL takes from it would be undefined.
    alias: { "prettier/parser-babel": "prettier/plugins/babel", "prettier/parser-graphql": "prettier/plugins/graphql" },
    loader: { ".ttf": "file", ".woff2": "file" },
    define: { ...shared.define, WORKER_FILES: JSON.stringify(workerFiles) },
  });
  const outputs = Object.entries(page.metafile.outputs);
  const [script, { cssBundle, imports }] = outputs.find(([, { entryPoint }]) => entryPoint === "src/main.jsx");
  const bundle = {
    script: path.basename(script),
    stylesheet: path.basename(cssBundle),
    preload: imports.filter(({ kind }) => kind === "import-statement").map((chunk) => path.basename(chunk.path)),
  };
  // The style sheets of chunks that are loaded on demand repeat what the page's own already holds, and nothing links them.
  const unlinked = outputs.map(([file]) => file).filter((file) => file.endsWith(".css") && file !== cssBundle);
  await Promise.all(unlinked.map((file) => rm(path.resolve(here, file))));
  await writeFile(path.join(out, "bundle.json"), JSON.stringify(bundle));
  await writeFile(path.join(out, "THIRD_PARTY_LICENSES.txt"), await licences([workers.metafile, page.metafile]));
}

function workerOf(entryPoint) {
  return Object.keys(WORKERS).find((name) => entryPoint.endsWith(WORKERS[name]));
}

/** The licence of every package of which at least one byte is in an output file. */
async function licences(metafiles) {
  const folders = new Set();
  for (const { outputs } of metafiles) {
    for (const input of Object.values(outputs).flatMap(({ inputs }) => Object.keys(inputs))) {
      const folder = packageFolder(input);
      if (folder !== null) {
        folders.add(folder);
      }
    }
  }
  const sections = await Promise.all([...folders].map(licenceSection));
  const intro = "The files beside this one are built from Florin's own source and from the packages below.\n";
  return [intro, ...sections.sort()].join(`\n${"-".repeat(80)}\n`);
}

function packageFolder(input) {
  const parts = input.split("/");
  const last = parts.lastIndexOf("node_modules");
  if (last === -1) {
    return null;
  }
  const depth = parts[last + 1].startsWith("@") ? 3 : 2;
  return parts.slice(0, last + depth).join("/");
}

async function licenceSection(folder) {
  const { name, version, license } = JSON.parse(await readFile(path.join(here, folder, "package.json"), "utf8"));
  const own = await notices(folder);
  const texts = own.length > 0 ? own : await notices(`node_modules/${LICENCE_BESIDE[name]}`);
  return `${name} ${version} (${license})\n\n${texts.join("\n\n")}\n`;
}

async function notices(folder) {
  const files = (await readdir(path.join(here, folder))).filter((file) => NOTICE_FILE.test(file)).sort();
  const texts = await Promise.all(files.map((file) => readFile(path.join(here, folder, file), "utf8")));
  return texts.map((text) => text.replaceAll("\r\n", "\n").trim());
}

await main();
