// Reads what the conformance suite found in a directory of results; ends with 1 if a check failed that was tested.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const results = readdirSync(process.argv[2], { recursive: true }).filter((file) => file.endsWith("checks.json"));
const checks = results.flatMap((file) => JSON.parse(readFileSync(join(process.argv[2], file), "utf8")));
const failed = checks.filter((check) => check.status === "FAILURE" && !/^Not testable/.test(check.errorMessage ?? ""));
for (const check of failed) console.error(`${check.id}: ${check.errorMessage}`);
process.exit(failed.length === 0 && checks.some((check) => check.status === "SUCCESS") ? 0 : 1);
