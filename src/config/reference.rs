//! `docs/configuration.md`: every setting of the server as the parser knows it, so that the page cannot say what the
//! program does not do. Written and compared by a test.

use std::fmt::Write;

use clap::{Args, Command};

use super::ServerSettings;

const HEAD: &str = "# Configuration

Each setting is a flag, an environment variable and a key of the TOML file that `--config` (or `BLOTTER_CONFIG`) names. A flag wins over the
environment, the environment over the file. `blotter config` prints the values in force and where each comes from, as such a file, secrets
redacted. `BLOTTER_OPERATOR_TOKEN` is read from the environment alone and has at least 8 characters, 4 of them different; the start warns of one that could be guessed (`openssl rand -hex 32` makes one that cannot).

This page is generated from the program.

| flag | variable | key | default | |
|---|---|---|---|---|
";

/// The page.
pub fn reference() -> String {
    let command = ServerSettings::augment_args(Command::new("serve"));
    let mut page = HEAD.to_owned();
    for argument in command.get_arguments() {
        let Some(flag) = argument.get_long() else { continue };
        let names = argument.get_value_names().unwrap_or_default().join(" ");
        let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
        // one that depends on another setting is told in the text
        let defaults: Vec<_> = argument
            .get_default_values()
            .iter()
            .filter(|_| !argument.is_hide_default_value_set())
            .map(|value| value.to_string_lossy())
            .collect();
        let words: Vec<_> = argument
            .get_possible_values()
            .iter()
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        let mut help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        if !words.is_empty() {
            help = format!("{help}: {}", words.join(", "));
        }
        let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
        writeln!(
            page,
            "| {} | {} | {} | {} | {} |",
            code(format!("--{flag} {names}").trim_end()),
            code(&variable.unwrap_or_default()),
            code(argument.get_id().as_str()),
            code(&defaults.join(" ")),
            help.replace('\n', " ").replace('|', "\\|"),
        )
        .expect("a string takes what is written");
    }
    page
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_of_the_settings_is_what_the_parser_knows() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        let page = super::reference();
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap();
        assert_eq!(written, page, "UPDATE_GENERATED=1 writes it anew");
    }
}
