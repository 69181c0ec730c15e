//! Why a figure of an account's risk is absent.

use schemars::JsonSchema;
use serde::Serialize;

/// Figures that are absent, and why.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "MissingFigures")]
pub struct MissingAnswer {
    /// Their names.
    pub figures: Vec<&'static str>,
    /// The machine word: `no_price`, `not_valued`, `nothing_held`, `no_equity`, `too_many_options`,
    /// `too_many_underlyings`, `too_little_history`, `no_benchmark`, `no_rate` or `no_variation`.
    pub code: &'static str,
    /// The sentence.
    pub message: String,
    /// The symbols that it is about.
    pub symbols: Vec<String>,
    /// What there is.
    pub have: Option<usize>,
    /// What it takes: of `too_many_options` and `too_many_underlyings` at the most, else at least.
    pub need: Option<usize>,
}

impl MissingAnswer {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        let (figures, symbols, message) = (Vec::new(), Vec::new(), message.into());
        Self { figures, code, message, symbols, have: None, need: None }
    }

    pub(super) fn of(mut self, symbols: impl IntoIterator<Item = String>) -> Self {
        self.symbols.extend(symbols);
        self
    }

    pub(super) fn counted(mut self, have: usize, need: usize) -> Self {
        (self.have, self.need) = (Some(have), Some(need));
        self
    }

    /// The same of these figures.
    pub(super) fn told(mut self, figures: &[&'static str]) -> Self {
        self.figures = figures.to_vec();
        self
    }

    /// Shares or options without a price.
    pub(super) fn no_price(symbols: Vec<String>) -> Self {
        Self::new("no_price", "the market has no price of a holding").of(symbols)
    }

    /// The account holds nothing.
    pub(super) fn nothing_held() -> Self {
        Self::new("nothing_held", "the account holds nothing whose price could move")
    }

    /// The equity is not above zero, so that nothing is a part of it.
    pub(super) fn no_equity() -> Self {
        Self::new("no_equity", "the equity is not above zero, so nothing is a part of it")
    }

    /// Fewer days than it takes.
    pub(super) fn too_little_history(what: &str, have: usize, need: usize) -> Self {
        let message = format!("there are {have} {what}, and it takes {need} at least");
        Self::new("too_little_history", message).counted(have, need)
    }
}
