//! Which files `paths` mean, and the names under which the lake keeps their places.

use crate::feed::FeedError;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Files that a folder is searched for.
const ENDINGS: [&str; 4] = [".jsonl", ".json", ".gz", ".zst"];

/// The files that some paths, folders and globs mean, each once, sorted by the name its place is kept under: the file's
/// name, or its path where two files share a name. A name that the lake `knows` stays what it is: a second file of the name
/// does not take it from the first, which is the one that `paths` says first. Errors: nothing is there, or it cannot be
/// looked at.
pub fn named(paths: &[String], knows: &dyn Fn(&str) -> bool) -> Result<Vec<(String, PathBuf)>, FeedError> {
    if paths.is_empty() {
        return Err(FeedError::Fix("source file has no paths".into(), "give `--path FILE|DIR|GLOB`".into()));
    }
    let mut found: Vec<PathBuf> = Vec::new();
    let mut seen = BTreeSet::new();
    for path in paths {
        found.extend(expand(path)?.into_iter().filter(|path| seen.insert(path.clone())));
    }
    let mut uses: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for path in found {
        uses.entry(file_name(&path)).or_default().push(path);
    }
    let mut named = Vec::new();
    for (short, mut paths) in uses {
        // one without a folder has no other name
        paths.sort_by_key(|path| whole(path) != short);
        let is_free = |path: &PathBuf| whole(path) == short || !knows(&whole(path));
        let first = paths.iter().position(is_free).filter(|_| paths.len() == 1 || knows(&short));
        let name = |(at, path): (usize, PathBuf)| (if Some(at) == first { short.clone() } else { whole(&path) }, path);
        named.extend(paths.into_iter().enumerate().map(name));
    }
    named.sort();
    Ok(named)
}

fn whole(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn expand(text: &str) -> Result<Vec<PathBuf>, FeedError> {
    let path = Path::new(text);
    let pattern = file_name(path);
    if !path.exists() && pattern.contains(['*', '?']) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let found = list(folder.unwrap_or(Path::new(".")), text, &|name| matches(pattern.as_bytes(), name.as_bytes()))?;
        // `*.jsonl` means the files as the user would name them
        let found = if folder.is_none() { found.iter().map(|path| file_name(path).into()).collect() } else { found };
        return some(found, text, "no file matches");
    }
    if path.is_dir() {
        let found = list(path, text, &|name| ENDINGS.iter().any(|ending| name.ends_with(ending)))?;
        return some(found, text, "the folder holds no *.jsonl, *.json, *.gz or *.zst");
    }
    if !path.exists() {
        return Err(FeedError::Fix(format!("path \"{text}\" does not exist"), hint()));
    }
    Ok(vec![path.to_path_buf()])
}

fn hint() -> String {
    "check `paths` or `--path`; a relative path starts at the working directory".into()
}

fn some(found: Vec<PathBuf>, text: &str, why: &str) -> Result<Vec<PathBuf>, FeedError> {
    if found.is_empty() {
        return Err(FeedError::Fix(format!("path \"{text}\": {why}"), hint()));
    }
    Ok(found)
}

/// The files of a folder whose names are wanted.
fn list(folder: &Path, text: &str, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<PathBuf>, FeedError> {
    let unreadable =
        |error: std::io::Error| FeedError::Fix(format!("path \"{text}\" cannot be listed: {error}"), hint());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = file_name(&path);
        if !name.starts_with('.') && wanted(&name) && path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

/// Whether a name matches a pattern of `*` (any run) and `?` (any one byte).
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => {
                p += 1;
                n += 1;
            }
            // let the last star take one byte more
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_run_and_a_question_mark_any_byte() {
        for (pattern, name, expected) in [
            ("*.jsonl", "a.jsonl", true),
            ("*.jsonl", "a.json", false),
            ("day-?.gz", "day-1.gz", true),
            ("day-?.gz", "day-12.gz", false),
            ("*a*b", "xaxbxb", true),
            ("*a*b", "xbxa", false),
            ("*", "", true),
            ("?", "", false),
            ("a**", "a", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_file_is_named_without_its_folder_unless_two_share_the_name() {
        let root = tempfile::tempdir().expect("a folder");
        for folder in ["a", "b"] {
            std::fs::create_dir(root.path().join(folder)).expect("a folder");
            std::fs::write(root.path().join(folder).join("same.jsonl"), "").expect("a file");
        }
        for file in ["one.jsonl", "two.gz", "note.txt", ".hidden.jsonl"] {
            std::fs::write(root.path().join("a").join(file), "").expect("a file");
        }
        let (a, b) = (root.path().join("a").display().to_string(), root.path().join("b").display().to_string());
        let names = |paths: &[String]| -> Vec<String> {
            named(paths, &|_| false).expect("files").into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(std::slice::from_ref(&a)), ["one.jsonl", "same.jsonl", "two.gz"]);
        assert_eq!(
            names(&[format!("{a}/*"), format!("{a}/one.jsonl")]),
            ["note.txt", "one.jsonl", "same.jsonl", "two.gz"]
        );
        let both = names(&[a.clone(), b.clone()]);
        assert_eq!(both.len(), 4);
        assert!(both.contains(&format!("{a}/same.jsonl")) && both.contains(&format!("{b}/same.jsonl")), "{both:?}");
    }

    #[test]
    fn a_second_file_of_a_name_does_not_take_it_from_the_first() {
        let root = tempfile::tempdir().expect("a folder");
        let [first, second] = ["b", "a"].map(|folder| {
            std::fs::create_dir(root.path().join(folder)).expect("a folder");
            std::fs::write(root.path().join(folder).join("t.jsonl"), "").expect("a file");
            root.path().join(folder).display().to_string()
        });
        let file = |folder: &str| format!("{folder}/t.jsonl");
        let known = |paths: &[&String], known: &[&str]| -> BTreeMap<String, String> {
            let paths: Vec<String> = paths.iter().map(|path| (*path).clone()).collect();
            let named = named(&paths, &|name| known.contains(&name)).expect("files");
            named.into_iter().map(|(name, path)| (path.display().to_string(), name)).collect()
        };
        // a lake that has read the first one gets the second folder
        let both = known(&[&first, &second], &["t.jsonl"]);
        assert_eq!(both, BTreeMap::from([(file(&first), "t.jsonl".into()), (file(&second), file(&second))]));
        // and keeps both names, however they are said from then on
        let names = ["t.jsonl", &file(&second)];
        assert_eq!(known(&[&second, &first], &names), both);
        assert_eq!(known(&[&second], &names)[&file(&second)], file(&second));
        assert_eq!(known(&[&first], &names)[&file(&first)], "t.jsonl");
        // where none was short, none becomes so
        let whole = [&*file(&first), &*file(&second)];
        assert_eq!(known(&[&first, &second], &whole).into_values().collect::<Vec<_>>(), [file(&second), file(&first)]);
        assert_eq!(known(&[&first], &whole)[&file(&first)], file(&first));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let root = tempfile::tempdir().expect("a folder");
        let at = |rest: &str| format!("{}{rest}", root.path().display());
        for path in [at("/none.jsonl"), at("/*.jsonl"), at(""), at("/no/where/*.gz")] {
            let Err(FeedError::Fix(message, hint)) = named(std::slice::from_ref(&path), &|_| false) else {
                panic!("{path} is empty")
            };
            assert!(message.contains(&path), "{message}");
            assert!(hint.contains("--path"), "{hint}");
        }
        assert!(matches!(named(&[], &|_| false), Err(FeedError::Fix(..))));
    }
}
