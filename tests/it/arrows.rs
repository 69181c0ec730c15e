//! The house stays easy to see: which module may use which, and no cycle. Reads the sources, so that a new arrow
//! is a change of this table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Who may use whom inside `src/`. A module that is not here may use nothing.
const ALLOWED: &[(&str, &[&str])] = &[
    ("database", &[]),
    ("identity", &["database", "ledger"]),
    ("config", &["database", "identity", "market", "mcp", "rest"]),
    ("analysis", &[]),
    ("market", &["analysis"]),
    ("ledger", &["database"]),
    ("engine", &["ledger", "market", "database"]),
    ("audit", &["database", "ledger", "market"]),
    ("simulation", &["ledger", "engine", "market"]),
    ("service", &["ledger", "engine", "market", "audit", "identity", "database", "analysis"]),
    ("body", &[]),
    ("rest", &["service", "identity", "body"]),
    ("mcp", &["service", "identity", "body"]),
    ("bridge", &[]),
];

/// The files that put the parts together: they may use everything.
const COMPOSITION: &[&str] = &[
    "main",
    "lib",
    "cli",
    "serve",
    "auditing",
    "heads",
    "maintenance",
    "parts",
    "registry",
    "stdio",
    "tokens",
];

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The top-level modules that the text names after `crate::`, comments left out; `use crate::{a, b}` too.
fn named(text: &str) -> BTreeSet<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let word = |text: &str| {
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
    };
    let mut modules = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => {
                modules.insert(word(rest));
            }
            Some(group) => {
                let mut depth = 0;
                let mut first = true;
                for (at, c) in group.char_indices() {
                    if first && (c.is_alphanumeric() || c == '_') && depth == 0 {
                        modules.insert(word(&group[at..]));
                        first = false;
                    }
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => first = true,
                        _ => {}
                    }
                }
            }
        }
    }
    modules
}

fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let module = |path: &Path| {
        let first = path.strip_prefix(&src).unwrap().components().next().unwrap();
        first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
    };
    let modules: BTreeSet<String> = files.iter().map(|path| module(path)).collect();
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in &files {
        let from = module(path);
        let uses = named(&std::fs::read_to_string(path).unwrap());
        let to: Vec<String> =
            uses.into_iter().filter(|name| modules.contains(name) && *name != from).collect();
        arrows.entry(from).or_default().extend(to);
    }
    arrows
}

#[test]
fn modules_use_only_what_they_may() {
    for (from, uses) in arrows() {
        if COMPOSITION.contains(&from.as_str()) {
            continue;
        }
        let allowed =
            ALLOWED.iter().find(|(module, _)| *module == from).map(|(_, allowed)| *allowed);
        let allowed = allowed
            .unwrap_or_else(|| panic!("module {from} is new: say what it may use in ALLOWED"));
        for to in uses {
            assert!(
                allowed.contains(&to.as_str()),
                "src/{from} uses src/{to}: that arrow is not allowed"
            );
        }
    }
}

#[test]
fn the_allowed_arrows_have_no_cycle() {
    let mut settled: BTreeSet<&str> = BTreeSet::new();
    while settled.len() < ALLOWED.len() {
        let next = ALLOWED.iter().find(|(module, uses)| {
            !settled.contains(module) && uses.iter().all(|to| settled.contains(to))
        });
        let (module, _) = next.expect("a module that uses only settled ones");
        settled.insert(module);
    }
}

#[test]
fn the_domain_knows_neither_runtime_nor_database_and_the_views_not_the_server() {
    let manifest = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name).join("Cargo.toml");
        let text = std::fs::read_to_string(path).unwrap();
        text.split("[dev-dependencies]").next().unwrap().to_owned()
    };
    for package in ["tokio", "sqlx", "projections", "blotter", "axum", "getrandom", "rand"] {
        let begins = format!("\n{package}");
        assert!(!manifest("aggregates").contains(&begins), "aggregates depends on {package}");
    }
    for package in ["blotter", "axum", "rmcp"] {
        assert!(
            !manifest("projections").contains(&format!("\n{package}")),
            "projections depends on {package}"
        );
    }
}

#[test]
fn names_are_found_in_every_form_of_use() {
    let text = "use crate::ledger::{Ledger, log};\nuse crate::{market::{self, tick}, rest};\n// crate::mcp\nlet x = crate::audit::verify();";
    let found: Vec<String> = named(text).into_iter().collect();
    assert_eq!(found, ["audit", "ledger", "market", "rest"]);
}
