//! What a program adds to the registries: indicators, checks, wire formats and sources of its own.
//!
//! ```text
//!   Registry::built_in().indicator(&SPEC).source(&KIND) ──install, once──▶ INDICATORS · CHECKS · FORMATS · SOURCES
//!                                                                             └▶ every dataflow that is read afterwards
//! ```
//!
//! Why per process and not per dataflow: a lake names what made its rows, and every reader of it in this process (`verify`, a
//! rebuild, `list`) must find the same entry under a name. What must always hold: all of a registry is installed or nothing.

use ticktide_base::error::Error;
use ticktide_base::registry::{Entry, Family};
use ticktide_feed::wire::{FORMATS, Format};
use ticktide_feed::{SOURCES, SourceKind};
use ticktide_flow::anomalies::{self, CHECKS};
use ticktide_flow::indicators::{self, INDICATORS};

/// Everything that a dataflow can name: what is built in, and what a program adds.
///
/// An entry is a `static` of the program. Its name is in dataflow files, hashes and lakes, so it never changes. A program that
/// reads, verifies or continues a lake made with an entry must install the same one.
///
/// ```
/// use ticktide_dataflow::Registry;
/// let registry = Registry::built_in();
/// assert!(registry.indicators().contains(&"rsi") && registry.wires().contains(&"json"));
/// ```
#[derive(Default)]
pub struct Registry {
    indicators: Vec<&'static indicators::Spec>,
    checks: Vec<&'static anomalies::Spec>,
    wires: Vec<&'static Format>,
    sources: Vec<&'static SourceKind>,
}

impl Registry {
    /// What is built in.
    pub fn built_in() -> Registry {
        Registry::default()
    }

    /// With an indicator: `{ use = "NAME", on = "1m" }` in `indicators` builds it.
    #[must_use]
    pub fn indicator(mut self, spec: &'static indicators::Spec) -> Registry {
        self.indicators.push(spec);
        self
    }

    /// With a check: `{ use = "NAME" }` in `anomalies` builds it.
    #[must_use]
    pub fn check(mut self, spec: &'static anomalies::Spec) -> Registry {
        self.checks.push(spec);
        self
    }

    /// With a wire format: `source.wire = "NAME"` decodes by it.
    #[must_use]
    pub fn wire(mut self, format: &'static Format) -> Registry {
        self.wires.push(format);
        self
    }

    /// With a kind of source: `source.use = "NAME"` opens it.
    #[must_use]
    pub fn source(mut self, kind: &'static SourceKind) -> Registry {
        self.sources.push(kind);
        self
    }

    /// The names of all indicators, the built-in ones first.
    pub fn indicators(&self) -> Vec<&'static str> {
        names(&INDICATORS, &self.indicators)
    }

    /// The names of all checks, the built-in ones first.
    pub fn checks(&self) -> Vec<&'static str> {
        names(&CHECKS, &self.checks)
    }

    /// The names of all wire formats, the built-in ones first.
    pub fn wires(&self) -> Vec<&'static str> {
        names(&FORMATS, &self.wires)
    }

    /// The names of all kinds of source, the built-in ones first.
    pub fn sources(&self) -> Vec<&'static str> {
        names(&SOURCES, &self.sources)
    }

    /// Makes it the registry of this process: every dataflow that is read from now on can name what is in it. Call it once,
    /// before anything else. Errors of kind `Fix`, and nothing is added: a name that exists already or is not a name, a
    /// registry that is in use because a dataflow was read or another registry was installed.
    pub fn install(self) -> Result<(), Error> {
        let Registry { indicators, checks, wires, sources } = self;
        INDICATORS.takes(&indicators)?;
        CHECKS.takes(&checks)?;
        FORMATS.takes(&wires)?;
        SOURCES.takes(&sources)?;
        INDICATORS.add(indicators)?;
        CHECKS.add(checks)?;
        FORMATS.add(wires)?;
        SOURCES.add(sources)
    }
}

fn names<T: Entry>(family: &Family<T>, more: &[&'static T]) -> Vec<&'static str> {
    family.built_in().iter().chain(more).map(|entry| entry.name()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataflow;
    use ticktide_flow::parameters::Parameter;

    const fn indicator(name: &'static str, parameters: &'static [Parameter]) -> indicators::Spec {
        indicators::Spec {
            name,
            doc: "a test's",
            parameters,
            anchor: None,
            build: |_| Err("it is never built".to_owned()),
        }
    }

    static OWN: indicators::Spec = indicator("own", &[]);
    static TAKEN: indicators::Spec = indicator("rsi", &[]);
    static ON: indicators::Spec = indicator("on_itself", &[Parameter::bars("on", 1, 1, 2, "")]);
    static TWICE: indicators::Spec =
        indicator("twice", &[Parameter::bars("period", 1, 1, 2, ""), Parameter::bars("period", 1, 1, 2, "")]);
    static SOURCE: SourceKind = SourceKind { name: "kafka", doc: "a test's", open: |_, _| unreachable!("not opened") };

    fn refused(registry: Registry) -> String {
        registry.install().expect_err("refused").message
    }

    #[test]
    fn a_registry_lists_what_is_built_in_and_then_what_is_added() {
        let registry = Registry::built_in().indicator(&OWN);
        assert_eq!(registry.indicators().last(), Some(&"own"));
        assert_eq!(registry.indicators()[..3], ["sma", "ema", "rsi"]);
        assert_eq!(registry.checks(), Registry::built_in().checks());
    }

    #[test]
    fn names_that_are_there_and_parameters_that_are_words_of_the_file_are_refused() {
        assert_eq!(refused(Registry::built_in().indicator(&TAKEN)), r#"indicator "rsi" already exists"#);
        assert_eq!(refused(Registry::built_in().source(&SOURCE)), r#"source "kafka" already exists"#);
        assert!(refused(Registry::built_in().indicator(&ON)).contains("which is a reserved word of the dataflow file"));
        assert!(refused(Registry::built_in().indicator(&TWICE)).contains("has two parameters"));
    }

    #[test]
    fn nothing_is_installed_once_a_dataflow_was_read() {
        let text = "indicators = [{ use = \"own\", on = \"1m\" }]\nbars = [{ every = \"1m\" }]";
        let error = Dataflow::from_text("t", "t.toml", text, &[], &[]).expect_err("there is none of this name");
        assert!(error.to_string().contains("there is no indicator \"own\""), "{error}");
        assert!(refused(Registry::built_in().indicator(&OWN)).contains("the registry is in use"));
    }
}
