//! Which files `paths` mean, and the names under which the lake records their places.
//!
//! Why the lake's names come first: whether a file's name includes its folder depends on the other files of the run, which
//! change from run to run; the place of a file that was read once must be found again. What must always hold: each file is
//! listed once, however many paths lead to it, and no two files have the same name.

use crate::FeedError;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The endings of the files that are read from a folder.
const ENDINGS: [&str; 5] = [".jsonl", ".json", ".csv", ".gz", ".zst"];

/// The files that `paths` mean.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FoundFiles {
    /// By full path: the given paths that lead to the file, in order.
    pub files: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    /// What is in the folders and is not read.
    pub left_out: BTreeSet<PathBuf>,
}

/// The files that some paths, folders and globs mean, each once. Errors: there is no file, or a folder cannot be listed.
pub fn found(paths: &[String]) -> Result<FoundFiles, FeedError> {
    if paths.is_empty() {
        return Err(FeedError::fix("source file has no paths", "give `--path FILE|DIR|GLOB`"));
    }
    let mut found = FoundFiles::default();
    for path in paths {
        for path in expand(path, &mut found.left_out)? {
            // a pipe has no full path: its name takes the place of one
            let full = path.canonicalize().unwrap_or_else(|_| path.clone());
            found.files.entry(full).or_default().insert(path);
        }
    }
    found.left_out.retain(|path| path.canonicalize().is_ok_and(|full| !found.files.contains_key(&full)));
    Ok(found)
}

/// A file that needs a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The given paths that lead to it, not empty.
    pub ways: BTreeSet<PathBuf>,
    /// Whether it has a beginning by which it can be recognised.
    pub begun: bool,
    /// The lake's names of the files that begin as it does.
    pub is: BTreeSet<String>,
}

impl File {
    fn short(&self) -> String {
        self.ways.first().map(|way| file_name(way)).unwrap_or_default()
    }

    /// The names it may have: its paths, its file names, or the lake's names that end so.
    fn called(&self, how: How, known: &BTreeMap<String, KnownFile>) -> Vec<(String, PathBuf)> {
        let by = |name: &dyn Fn(&Path) -> String| self.ways.iter().map(|way| (name(way), way.clone())).collect();
        match how {
            How::Path => by(&|way| way.to_string_lossy().into_owned()),
            How::Name => by(&|way| file_name(way)),
            How::Moved | How::Renamed => {
                let (short, way) = (self.short(), self.ways.first().cloned().unwrap_or_default());
                let all = how == How::Renamed;
                let may = known.keys().filter(|name| all || file_name(Path::new(name)) == short);
                may.map(|name| (name.clone(), way.clone())).collect()
            }
        }
    }
}

/// What the lake knows of the file that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownFile {
    /// How it begins.
    Beginning,
    /// Only its name.
    Name,
    /// That no record of it was read.
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Path,
    Name,
    Moved,
    Renamed,
}

/// The name of each file's place and the path to it, in the order of the files. A name of the lake (`known`) stays with its
/// file: of the files that begin so, the one with that path, otherwise the one with that file name, otherwise any. Other files
/// get their file names, or their paths if two files share a name. Error: the lake does not show which of two files it read.
pub fn named(files: &[File], known: &BTreeMap<String, KnownFile>) -> Result<Vec<(String, PathBuf)>, FeedError> {
    let mut named: Vec<Option<(String, PathBuf)>> = vec![None; files.len()];
    let mut taken = BTreeSet::new();
    let begins_so = |file: &File, name: &str| file.is.contains(name);
    let may_be =
        |file: &File, name: &str| known.get(name).is_some_and(|was| *was != KnownFile::Beginning || !file.begun);
    let passes: [(How, &dyn Fn(&File, &str) -> bool); 6] = [
        (How::Path, &begins_so),
        (How::Name, &begins_so),
        (How::Moved, &begins_so),
        (How::Renamed, &begins_so),
        (How::Path, &may_be),
        (How::Name, &may_be),
    ];
    for (how, is_it) in passes {
        let open: Vec<usize> = (0..files.len()).filter(|index| named[*index].is_none()).collect();
        for index in &open {
            let file = &files[*index];
            let fits = |(name, _): &(String, PathBuf)| is_it(file, name) && !taken.contains(name);
            let Some((name, way)) = file.called(how, known).into_iter().find(fits) else { continue };
            let alike = || open.iter().map(|index| &files[*index]).filter(|other| other.short() == name);
            if how == How::Name && known[&name] != KnownFile::Nothing && !begins_so(file, &name) && alike().count() > 1
            {
                return Err(undecided(&name, alike()));
            }
            taken.insert(name.clone());
            named[*index] = Some((name, way));
        }
    }
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    files.iter().for_each(|file| *uses.entry(file.short()).or_default() += 1);
    let name = |(file, name): (&File, Option<(String, PathBuf)>)| {
        let (way, short) = (file.ways.first()?, file.short());
        let own = || {
            let name = if uses.get(&short) == Some(&1) { short.clone() } else { way.to_string_lossy().into_owned() };
            (fresh(name, way, &taken), way.clone())
        };
        let named = name.unwrap_or_else(own);
        taken.insert(named.0.clone());
        Some(named)
    };
    Ok(files.iter().zip(named).filter_map(name).collect())
}

/// A name that no other file has: the path or a numbered name, if the file that had this name was renamed since. A name that
/// the lake knows is still used: a different file under it is refused, not counted again.
fn fresh(name: String, way: &Path, taken: &BTreeSet<String>) -> String {
    let path = way.to_string_lossy().into_owned();
    let numbered = (2..).map(|number| format!("{name}#{number}"));
    let mut names = [name.clone(), path].into_iter().chain(numbered);
    names.find(|name| !taken.contains(name)).expect("numbers do not end")
}

fn undecided<'a>(name: &str, files: impl Iterator<Item = &'a File>) -> FeedError {
    let ways: Vec<String> = files.flat_map(|file| file.ways.first()).map(|way| way.display().to_string()).collect();
    FeedError::fix(
        format!("the lake has read a file {name}, but has not recorded which of {} it was", ways.join(", ")),
        "run once with `--path` of that file alone, then with all of them",
    )
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The files that a text means; what is skipped in a folder is added to `left_out`.
fn expand(text: &str, left_out: &mut BTreeSet<PathBuf>) -> Result<Vec<PathBuf>, FeedError> {
    let path = Path::new(text);
    let pattern = file_name(path);
    if !path.exists() && pattern.contains(['*', '?']) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let [found, _] =
            list(folder.unwrap_or(Path::new(".")), text, &|name| matches(pattern.as_bytes(), name.as_bytes()))?;
        // `*.jsonl` means the files by the names that the user would give
        let found = if folder.is_none() { found.iter().map(|path| file_name(path).into()).collect() } else { found };
        return some(found, text, "no file matches");
    }
    if path.is_dir() {
        let [found, others] = list(path, text, &|name| ENDINGS.iter().any(|ending| name.ends_with(ending)))?;
        left_out.extend(others);
        let endings = ENDINGS.map(|ending| format!("*{ending}")).join(", ");
        return some(found, text, &format!("the folder holds no file of {endings}"));
    }
    if !path.exists() {
        return Err(FeedError::fix(format!("path \"{text}\" does not exist"), hint()));
    }
    Ok(vec![path.to_path_buf()])
}

fn hint() -> String {
    "check `paths` or `--path`: a relative path starts at the working directory, and only `*` and `?` in the file name are \
     patterns"
        .into()
}

fn some(found: Vec<PathBuf>, text: &str, why: &str) -> Result<Vec<PathBuf>, FeedError> {
    if found.is_empty() {
        return Err(FeedError::fix(format!("path \"{text}\": {why}"), hint()));
    }
    Ok(found)
}

/// The files of a folder whose names are wanted, and its other entries; hidden entries are ignored.
fn list(folder: &Path, text: &str, wanted: &dyn Fn(&str) -> bool) -> Result<[Vec<PathBuf>; 2], FeedError> {
    let unreadable =
        |error: std::io::Error| FeedError::fix(format!("path \"{text}\" cannot be listed: {error}"), hint());
    let [mut found, mut others] = [Vec::new(), Vec::new()];
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = file_name(&path);
        if !name.starts_with('.') {
            if wanted(&name) && path.is_file() { &mut found } else { &mut others }.push(path);
        }
    }
    Ok([found, others])
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
            // let the last star match one byte more
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

    /// Names and paths of the files that some paths mean; a file begins as the lake's if the contents are equal.
    fn names_of(paths: &[String], all: &[(&str, Option<&str>)]) -> Result<Vec<(String, PathBuf)>, FeedError> {
        let files = found(paths).expect("files").files.into_iter().map(|(full, ways)| {
            let text = std::fs::read_to_string(full).expect("readable");
            let is = all.iter().filter(|(_, was)| *was == Some(&text)).map(|(name, _)| (*name).to_owned());
            File { ways, begun: !text.is_empty(), is: is.collect() }
        });
        let known = |was: Option<&str>| if was.is_some() { KnownFile::Beginning } else { KnownFile::Name };
        let known = all.iter().map(|(name, was)| ((*name).to_owned(), known(*was))).collect();
        named(&files.collect::<Vec<_>>(), &known)
    }

    fn names(paths: &[String]) -> Vec<String> {
        let mut names: Vec<String> = names_of(paths, &[]).expect("named").into_iter().map(|(name, _)| name).collect();
        names.sort();
        names
    }

    /// Folders `a` and `b`, each with a `same.jsonl` that holds the folder's name.
    fn two_folders() -> (tempfile::TempDir, [String; 2]) {
        let root = tempfile::tempdir().expect("a folder");
        let folders = ["a", "b"].map(|folder| {
            std::fs::create_dir(root.path().join(folder)).expect("a folder");
            std::fs::write(root.path().join(folder).join("same.jsonl"), folder).expect("a file");
            root.path().join(folder).display().to_string()
        });
        (root, folders)
    }

    #[test]
    fn a_file_is_named_without_its_folder_unless_two_share_the_name() {
        let (root, [a, b]) = two_folders();
        for file in ["one.jsonl", "two.gz", "three.csv", "note.txt", ".hidden.jsonl"] {
            std::fs::write(root.path().join("a").join(file), "").expect("a file");
        }
        assert_eq!(names(std::slice::from_ref(&a)), ["one.jsonl", "same.jsonl", "three.csv", "two.gz"]);
        assert_eq!(
            names(&[format!("{a}/*"), format!("{a}/one.jsonl")]),
            ["note.txt", "one.jsonl", "same.jsonl", "three.csv", "two.gz"]
        );
        let both = names(&[a.clone(), b.clone()]);
        assert_eq!(both.len(), 5);
        assert!(both.contains(&format!("{a}/same.jsonl")) && both.contains(&format!("{b}/same.jsonl")), "{both:?}");
        let left_out = |paths: &[String]| found(paths).expect("files").left_out.into_iter().collect::<Vec<_>>();
        assert_eq!(left_out(std::slice::from_ref(&a)), [Path::new(&a).join("note.txt")]);
        assert_eq!(left_out(&[a.clone(), format!("{a}/note.txt")]), Vec::<PathBuf>::new(), "it is read");
    }

    #[test]
    fn many_ways_to_a_file_are_one_file() {
        let (root, [a, b]) = two_folders();
        let link = root.path().join("b/link.jsonl");
        std::os::unix::fs::symlink(format!("{a}/same.jsonl"), &link).expect("a link");
        assert_eq!(names(&[a.clone(), format!("{a}/../a"), format!("{a}/./same.jsonl")]), ["same.jsonl"]);
        let found = names_of(&[b.clone(), a.clone()], &[]).expect("named");
        assert_eq!(found.len(), 2, "{found:?}");
        // and the name that the lake has for it stays
        let found = names_of(&[b, a], &[("link.jsonl", Some("a"))]).expect("named");
        assert!(found.contains(&("link.jsonl".into(), link)), "{found:?}");
    }

    #[test]
    fn a_name_of_the_lake_stays_with_its_file_whatever_else_is_read() {
        let (_root, [a, b]) = two_folders();
        let [of_a, of_b] = [&a, &b].map(|folder| format!("{folder}/same.jsonl"));
        let named = |paths: &[&String], known: &[(&str, Option<&str>)]| -> Vec<String> {
            let paths: Vec<String> = paths.iter().map(|path| (*path).clone()).collect();
            names_of(&paths, known).expect("named").into_iter().map(|(name, _)| name).collect()
        };
        // read alone, then with another file of the same name
        assert_eq!(named(&[&a, &b], &[("same.jsonl", Some("a"))]), ["same.jsonl".to_owned(), of_b.clone()]);
        assert_eq!(named(&[&a, &b], &[("same.jsonl", Some("b"))]), [of_a.clone(), "same.jsonl".to_owned()]);
        // read with another, then alone; or by another path, or moved
        let both = [(of_a.as_str(), Some("a")), (of_b.as_str(), Some("b"))];
        assert_eq!(named(&[&b], &both), [of_b.as_str()]);
        assert_eq!(named(&[&format!("{a}/../b")], &both), [of_b.as_str()]);
        assert_eq!(named(&[&b], &[("x/same.jsonl", Some("b"))]), ["x/same.jsonl"]);
        assert_eq!(named(&[&b], &[("same.jsonl", Some("a")), (of_b.as_str(), Some("b"))]), [of_b.as_str()]);
        // another file under the only known name keeps the name, and is refused because of it
        assert_eq!(named(&[&b], &[("same.jsonl", Some("a"))]), ["same.jsonl"]);
        // lakes that have recorded no hash
        assert_eq!(named(&[&b], &[("same.jsonl", None)]), ["same.jsonl"]);
        assert_eq!(named(&[&a, &b], &[(of_a.as_str(), None), (of_b.as_str(), None)]), [of_a, of_b]);
        let error = names_of(&[a, b], &[("same.jsonl", None)]).expect_err("which of them?");
        assert!(error.to_string().contains("same.jsonl"), "{error}");
    }

    #[test]
    fn a_renamed_file_keeps_the_lakes_name_and_the_one_in_its_place_has_another() {
        let root = tempfile::tempdir().expect("a folder");
        let at = |name: &str| root.path().join(name).display().to_string();
        let day = |name: &str, text: &str| std::fs::write(root.path().join(name), text).expect("a file");
        let named = |known: &[(&str, Option<&str>)]| {
            let paths = [root.path().display().to_string()];
            let names: BTreeMap<PathBuf, String> =
                names_of(&paths, known).expect("named").into_iter().map(|(name, way)| (way, name)).collect();
            names.into_values().collect::<Vec<_>>()
        };
        day("ticks-1.jsonl", "one");
        assert_eq!(named(&[("ticks.jsonl", Some("one"))]), ["ticks.jsonl"]);
        day("ticks.jsonl", "two");
        let path = at("ticks.jsonl");
        assert_eq!(named(&[("ticks.jsonl", Some("one"))]), ["ticks.jsonl", path.as_str()]);
        // the day after
        day("ticks-2.jsonl", "two");
        day("ticks.jsonl", "three");
        let known = [("ticks.jsonl", Some("one")), (path.as_str(), Some("two"))];
        assert_eq!(named(&known), ["ticks.jsonl", path.as_str(), "ticks.jsonl#2"]);
        // and a file that is still empty
        day("ticks.jsonl", "");
        assert_eq!(named(&known), ["ticks.jsonl", path.as_str(), "ticks.jsonl#2"]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let root = tempfile::tempdir().expect("a folder");
        let at = |rest: &str| format!("{}{rest}", root.path().display());
        for path in [at("/none.jsonl"), at("/*.jsonl"), at(""), at("/no/where/*.gz"), at("/**/x.gz"), at("/{a,b}.gz")] {
            let Err(FeedError::Fix { message, hint }) = found(std::slice::from_ref(&path)) else {
                panic!("{path} is empty")
            };
            assert!(message.contains(&path), "{message}");
            assert!(hint.contains("--path") && hint.contains("only `*` and `?`"), "{hint}");
        }
        assert!(matches!(found(&[]), Err(FeedError::Fix { .. })));
    }
}
