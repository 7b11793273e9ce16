//! The source as the walls see it: every file with its crate and module, what it names, how long its functions are.

use std::path::{Path, PathBuf};

pub struct File {
    /// Below the root of the repository, with slashes.
    pub path: String,
    /// The crate's folder below `src`; of the root package: "".
    pub room: String,
    /// The path of the module inside its crate; of `lib.rs`: none.
    pub module: Vec<String>,
    /// Without lines that are comments and what is compiled for tests only.
    pub code: String,
    pub lines: usize,
}

impl File {
    /// Whether the file is a folder's own: `lib.rs`, `mod.rs`.
    pub fn is_head(&self) -> bool {
        self.path.ends_with("/mod.rs") || self.path.ends_with("/lib.rs")
    }

    pub fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the source") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// A file that is compiled for tests alone, whole.
fn is_test(parts: &[&str]) -> bool {
    parts.iter().any(|part| ["tests", "tests.rs", "testing.rs", "samples.rs"].contains(part))
}

/// Every file below `src`, in order.
pub fn files() -> Vec<File> {
    let mut paths = Vec::new();
    walk(&root().join("src"), &mut paths);
    paths.sort();
    assert!(paths.len() > 100, "the source was found");
    let file = |path: PathBuf| {
        let below = path.strip_prefix(root()).expect("found below it").to_string_lossy().replace('\\', "/");
        let parts: Vec<&str> = below.split('/').skip(1).collect();
        let text = std::fs::read_to_string(&path).expect("UTF-8");
        let no_comments = |text: &str| {
            text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
        };
        let code = match text.split_once("#[cfg(test)]\nmod tests {") {
            _ if is_test(&parts) => String::new(),
            Some((code, _)) => no_comments(code),
            None => no_comments(&text),
        };
        let (room, inside) = if parts.len() > 1 { (parts[0], &parts[1..]) } else { ("", &parts[..]) };
        let mut module: Vec<String> = inside.iter().map(|part| part.trim_end_matches(".rs").to_owned()).collect();
        if module.last().is_some_and(|last| ["mod", "lib"].contains(&last.as_str())) {
            module.pop();
        }
        let room = room.to_owned();
        File { lines: text.lines().count(), room, module, code, path: below }
    };
    paths.into_iter().map(file).collect()
}

/// The paths that a text names behind `crate::` and `super::`, as modules and items from the crate's root on.
pub fn named(module: &[String], code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        tree(&code[at + "crate::".len()..], &[], &mut found);
    }
    for (at, _) in code.match_indices("super::") {
        let before = &code[..at];
        if before.ends_with("super::") || before.ends_with("crate::") {
            continue; // the first of a row speaks for all
        }
        let (mut up, mut rest) = (0, &code[at..]);
        while let Some(behind) = rest.strip_prefix("super::") {
            (up, rest) = (up + 1, behind);
        }
        if let Some(base) = module.len().checked_sub(up) {
            tree(rest, &module[..base], &mut found);
        }
    }
    found
}

/// Reads one use tree; gives what is left behind it.
fn tree<'a>(text: &'a str, prefix: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let mut prefix = prefix.to_vec();
    let mut rest = text.trim_start();
    loop {
        if let Some(mut group) = rest.strip_prefix('{') {
            loop {
                group = group.trim_start().trim_start_matches(',').trim_start();
                if let Some(behind) = group.strip_prefix('}') {
                    return behind;
                }
                let behind = tree(group, &prefix, found);
                if behind.len() >= group.len() {
                    return behind; // no use tree at all
                }
                group = behind;
            }
        }
        let word: String = rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        rest = &rest[word.len()..];
        if word.is_empty() {
            found.push(prefix);
            return rest.strip_prefix('*').unwrap_or(rest);
        }
        if word != "self" {
            prefix.push(word);
        }
        match rest.strip_prefix("::") {
            Some(behind) => rest = behind,
            None => {
                found.push(prefix);
                let alias = rest
                    .strip_prefix(" as ")
                    .map(|alias| alias.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'));
                return alias.unwrap_or(rest);
            }
        }
    }
}

/// Functions of formatted code with their lines, from `fn` to the closing brace.
pub fn functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let mut words = line.split_whitespace().skip_while(|word| {
            word.starts_with("pub")
                || ["const", "async", "unsafe", "extern", "\"C\""].contains(word)
                || word.ends_with(')')
        });
        if words.next() != Some("fn") {
            continue;
        }
        let name: String =
            words.next().unwrap_or_default().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let closing = format!("{}}}", " ".repeat(indent));
        let end = lines[at..]
            .iter()
            .position(|line| line.starts_with(&closing) && line.trim_end().len() <= closing.len() + 1);
        if let Some(end) = end.filter(|_| !line.trim_end().ends_with(';')) {
            found.push((name, end + 1));
        }
    }
    found
}

#[test]
fn groups_aliases_and_parents_are_seen() {
    let code =
        "use crate::{calendar::{self, Session as S}, time};\nlet x = crate::feed::open();\nuse super::super::a::B;";
    let module = ["x", "y", "z"].map(str::to_owned);
    let names: Vec<String> = named(&module, code).iter().map(|path| path.join("::")).collect();
    assert_eq!(names, ["calendar", "calendar::Session", "time", "feed::open", "x::a::B"]);
}

#[test]
fn a_function_ends_at_its_own_brace() {
    let code = "pub(crate) async fn a(\n    b: u8,\n) -> u8 {\n    if b == 0 {\n    }\n    b\n}\n\ntrait T {\n    fn c(&self);\n    fn d(&self) {\n    }\n}";
    assert_eq!(functions(code), [("a".to_owned(), 7), ("d".to_owned(), 2)]);
}
