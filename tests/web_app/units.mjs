// Bundle the unit tests and run them with Node's own runner.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(new URL("../../service/web_app/package.json", import.meta.url));
const { buildSync } = require("esbuild");
const units = fileURLToPath(new URL("units", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "mutuality-units-"));
const entryPoints = readdirSync(units).map((name) => join(units, name));
buildSync({ entryPoints, outdir: folder, outExtension: { ".js": ".mjs" }, bundle: true, format: "esm", platform: "node", logLevel: "error" });
const bundles = readdirSync(folder).map((name) => join(folder, name));
const run = spawnSync(process.execPath, ["--test", ...bundles], { stdio: "inherit" });
rmSync(folder, { recursive: true, force: true });
process.exit(run.status ?? 1);
