//! The imports of src/: no two files use each other, be it through others.
//!
//! A `mod.rs` owns the files beside it, so what it takes from them is no import. A name that it re-exports is imported
//! from the file that defines it.

use std::{collections::BTreeMap, fs, path::Path};

/// A module, or what a `use` declaration names: its segments below the crate.
type Segments = Vec<String>;

/// Reads the files of a directory and of those below, without their unit tests.
fn read(directory: &Path, module: &Segments, sources: &mut BTreeMap<Segments, String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let segment = (!["mod", "lib"].contains(&name)).then(|| name.to_owned());
        let module = [module.clone(), segment.into_iter().collect()].concat();
        if path.is_file() {
            let text = fs::read_to_string(&path).unwrap();
            sources.insert(module, text.split("\nmod tests {").next().unwrap().to_owned());
        } else if !["bin", "tests"].contains(&name) {
            read(&path, &module, sources);
        }
    }
}

/// Returns what the `use` declarations of a file name: `a::b` and `a::c` for `use a::{b, c};`.
fn imports(source: &str) -> Vec<Segments> {
    let mut names = Vec::new();
    let declares = |line: &&str| ["use ", "pub use ", "pub(crate) use "].iter().any(|start| line.starts_with(start));
    for statement in source.split_inclusive(';') {
        let text: String = statement.lines().skip_while(|line| !declares(line)).map(str::trim).collect();
        let mut prefixes = vec![String::new()];
        for part in text.split_once("use ").map_or("", |(_, tree)| tree).split_inclusive(['{', ',', '}', ';']) {
            let (name, mark) = part.split_at(part.len() - 1);
            let path = format!("{}{}", prefixes.last().unwrap(), name.trim());
            match mark {
                "{" => prefixes.push(path),
                _ if name.is_empty() => {}
                _ => names.push(path.split("::").map(str::to_owned).collect()),
            }
            prefixes.truncate(prefixes.len() - usize::from(mark == "}"));
        }
    }
    names
}

/// Returns the file that defines what `module` imports as `name`, or `None` for another crate's.
fn definition(sources: &BTreeMap<Segments, String>, module: &Segments, name: &Segments) -> Option<Segments> {
    let ups = name.iter().take_while(|segment| *segment == "super").count();
    let path = match name[0].as_str() {
        "crate" => name[1..].to_vec(),
        _ => [&module[..module.len() - ups], &name[ups..]].concat(),
    };
    let file = (0..=path.len()).rev().map(|length| path[..length].to_vec()).find(|file| sources.contains_key(file))?;
    let exported = path.get(file.len()).and_then(|wanted| {
        let exports = imports(&sources[&file]);
        exports.into_iter().find(|export| export.last() == Some(wanted) && export[0] != "super")
    });
    match exported.filter(|_| file != *module) {
        Some(export) => definition(sources, &file, &export),
        None => Some(file),
    }
}

#[test]
fn no_file_imports_itself_through_others() {
    let mut sources = BTreeMap::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &vec![], &mut sources);
    let mut edges = Vec::new();
    for (module, source) in &sources {
        let files = imports(source).into_iter().filter_map(|name| definition(&sources, module, &name));
        edges.extend(files.filter(|file| !file.starts_with(module)).map(|file| (module.clone(), file)));
    }
    assert!(edges.len() > 100, "only {} imports were found", edges.len());
    // An edge that begins where none ends, or ends where none begins, belongs to no circle.
    let mut before = 0;
    while before != edges.len() {
        before = edges.len();
        let all = edges.clone();
        edges.retain(|(from, to)| all.iter().any(|(_, end)| end == from) && all.iter().any(|(start, _)| start == to));
    }
    let circles: Vec<_> = edges.iter().map(|(from, to)| format!("{} uses {}", from.join("/"), to.join("/"))).collect();
    assert!(circles.is_empty(), "{circles:#?}");
}
