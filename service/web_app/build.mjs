// Builds the app into `built/`: scripts and style sheet with a hash in their names, each compressed beside itself.
//
// esbuild, not Vite: it bundles TypeScript and JSX by itself in a tenth of a second, and is one program without a tree
// of plug-ins. `node build.mjs FOLDER` builds into another folder.

import { build } from "esbuild";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { constants, gzipSync } from "node:zlib";
import { icon, png } from "./icon.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "built");
const fresh = `${out}.new`;

const common = { bundle: true, minify: true, write: false, target: ["es2022"], legalComments: "none", absWorkingDir: here };

// All that the first visit needs becomes one file: esbuild puts together what the same entries reach, and here each screen
// that is loaded later reaches all of it. In nine files, which the app once was, the last ones waited for a free connection.
const oneFirstFile = {
  name: "one first file",
  setup(building) {
    building.onLoad({ filter: /src[/\\](screens[/\\]\w+|push)\.tsx?$/ }, ({ path }) => ({
      contents: `${readFileSync(path, "utf8")}\nimport ${JSON.stringify(join(here, "src/main.tsx"))};`,
      loader: path.endsWith("x") ? "tsx" : "ts",
    }));
  },
};

const app = await build({
  ...common,
  entryPoints: { app: "src/main.tsx", style: "src/style.css" },
  format: "esm",
  splitting: true,
  outdir: "/app",
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  jsx: "automatic",
  jsxImportSource: "preact",
  metafile: true,
  plugins: [oneFirstFile],
});

const files = new Map(app.outputFiles.map((file) => [`app/${basename(file.path)}`, file.contents]));
const named = (pattern) => [...files.keys()].find((name) => pattern.test(name));
// The entry itself is then no more than an import of that file.
const entry = named(/^app\/app-\w+\.js$/);
const script = `app/${basename(importsOf(entry)[0].path)}`;
files.delete(entry);
const style = named(/^app\/style-\w+\.css$/);

const text = (content) => new TextEncoder().encode(content);
const LANGUAGES = ["en", "de"];
// The page in each language: its texts come beside the script, and not after it.
const nameOfPage = (language) => (language === "en" ? "index.html" : `index.${language}.html`);
const firstLoad = (language) => [...all(script), ...all(named(new RegExp(`^app/${language}-\\w+\\.js$`)))];
for (const language of LANGUAGES) files.set(nameOfPage(language), text(page(language)));
files.set("manifest.webmanifest", text(readFileSync(join(here, "src/manifest.json"), "utf8")));
files.set("icons/icon.svg", text(icon()));
for (const size of [180, 192, 512]) files.set(`icons/icon-${size}.png`, png(size));

// The worker's bytes change exactly when the app has changed: the browser looks for that, and installs it anew.
const shell = ["/", "/manifest.webmanifest", "/icons/icon.svg", ...[...files.keys()].filter(isCode).map((name) => `/${name}`)];
const version = createHash("sha256");
for (const name of [...files.keys()].sort()) version.update(name).update(files.get(name));
const worker = await build({
  ...common,
  entryPoints: ["src/worker.ts"],
  format: "iife",
  define: { SHELL: JSON.stringify(shell), VERSION: JSON.stringify(version.digest("hex").slice(0, 12)) },
});
files.set("service-worker.js", worker.outputFiles[0].contents);

write();
report();

function isCode(name) {
  return name.startsWith("app/");
}

function page(language) {
  return `<!DOCTYPE html>
<html lang="${language}">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
  <meta name="color-scheme" content="light dark">
  <meta name="theme-color" content="#f7f3ed" media="(prefers-color-scheme: light)">
  <meta name="theme-color" content="#1c1a18" media="(prefers-color-scheme: dark)">
  <title>Mutuality</title>
  <link rel="manifest" href="/manifest.webmanifest">
  <link rel="icon" href="/icons/icon.svg" type="image/svg+xml">
  <link rel="apple-touch-icon" href="/icons/icon-180.png">
  <link rel="stylesheet" href="/${style}">
  ${firstLoad(language).filter((name) => name !== script).map((name) => `<link rel="modulepreload" href="/${name}">`).join("\n  ")}
  <script type="module" src="/${script}"></script>
</head>
<body>
  <div id="app"></div>
  <noscript>Mutuality needs JavaScript. The API behind it is described at <a href="/docs">/docs</a>.</noscript>
</body>
</html>
`;
}

function packed(content) {
  return gzipSync(content, { level: constants.Z_BEST_COMPRESSION });
}

function write() {
  rmSync(fresh, { recursive: true, force: true });
  for (const [name, content] of files) {
    const path = join(fresh, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    if (!name.endsWith(".png")) writeFileSync(`${path}.gz`, packed(content));
  }
  rmSync(out, { recursive: true, force: true });
  renameSync(fresh, out);
}

/** What a script imports at once. */
function importsOf(name) {
  const [, output] = Object.entries(app.metafile.outputs).find(([path]) => basename(path) === basename(name));
  return output.imports.filter((one) => one.kind === "import-statement");
}

/** A script, and all that has to be there before it runs. */
function all(name) {
  return [name, ...importsOf(name).flatMap((one) => all(`app/${basename(one.path)}`))];
}

function report() {
  const sum = (names) => names.reduce((all, name) => all + packed(files.get(name)).length, 0);
  const kilobytes = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
  const code = [...files.keys()].filter((name) => !name.endsWith(".png"));
  const visits = LANGUAGES.map((language) => sum([nameOfPage(language), style, ...firstLoad(language)]));
  console.log(`The phone app is built: ${kilobytes(Math.max(...visits))} compressed at the first visit, ${kilobytes(sum(code))} in all.`);
}
