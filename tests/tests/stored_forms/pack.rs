//! Data folders as files that are small enough for the repository: their bytes without the zeros.
//!
//! ```text
//! "aspen folder\n"  then for each file, in order of names:
//!     name length 4 | name | file length 8 | runs | 0 4        integers little-endian
//!     run: bytes 4 | offset 8 | those bytes
//! ```
//!
//! Most pages of the log's file are empty, and pages of a state are half so. What is not zero is stored
//! as it is: git compresses it. Leaves out the lock, and the compiled functions, which may be deleted.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const MAGIC: &[u8] = b"aspen folder\n";

/// Zeros that end a run: what a run costs, and some.
const GAP: usize = 16;

/// Names that belong to a process and not to the node.
const LEFT_OUT: [&str; 2] = ["lock", "modules"];

/// Files by their names within a folder.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The files of a folder, with those in folders within it.
pub fn files(folder: &Path) -> Files {
    let mut files = Files::new();
    collect(folder, "", &mut files);
    files
}

fn collect(folder: &Path, prefix: &str, files: &mut Files) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if LEFT_OUT.contains(&name) {
            continue;
        }
        let name = format!("{prefix}{name}");
        match path.is_dir() {
            true => collect(&path, &format!("{name}/"), files),
            false => drop(files.insert(name, fs::read(path).unwrap())),
        }
    }
}

/// Packs files.
pub fn pack(files: &Files) -> Vec<u8> {
    let mut packed = MAGIC.to_vec();
    for (name, bytes) in files {
        packed.extend((name.len() as u32).to_le_bytes());
        packed.extend(name.as_bytes());
        packed.extend((bytes.len() as u64).to_le_bytes());
        let mut at = 0;
        while let Some((start, end)) = run(bytes, at) {
            packed.extend(((end - start) as u32).to_le_bytes());
            packed.extend((start as u64).to_le_bytes());
            packed.extend(&bytes[start..end]);
            at = end;
        }
        packed.extend(0u32.to_le_bytes());
    }
    packed
}

/// The next bytes that are not zero, up to a gap.
fn run(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let start = at + bytes[at..].iter().position(|byte| *byte != 0)?;
    let (mut end, mut next) = (start + 1, start + 1);
    while next < bytes.len() && next - end < GAP {
        next += 1;
        if bytes[next - 1] != 0 {
            end = next;
        }
    }
    Some((start, end))
}

/// Writes the files that were packed into `folder`.
pub fn unpack(mut packed: &[u8], folder: &Path) {
    assert_eq!(take(&mut packed, MAGIC.len()), MAGIC, "a packed folder");
    while !packed.is_empty() {
        let length = number(&mut packed, 4);
        let name = std::str::from_utf8(take(&mut packed, length)).unwrap();
        let mut bytes = vec![0; number(&mut packed, 8)];
        loop {
            let length = number(&mut packed, 4);
            if length == 0 {
                break;
            }
            let start = number(&mut packed, 8);
            bytes[start..start + length].copy_from_slice(take(&mut packed, length));
        }
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn take<'a>(packed: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = packed.split_at(length);
    *packed = rest;
    taken
}

fn number(packed: &mut &[u8], length: usize) -> usize {
    let mut number = [0; 8];
    number[..length].copy_from_slice(take(packed, length));
    u64::from_le_bytes(number) as usize
}

#[test]
fn stored_forms_a_packed_folder_is_the_same_again() {
    let zeros = |count: usize| vec![0; count];
    let contents = [
        vec![],
        zeros(100),
        b"text".to_vec(),
        [zeros(1), b"a".to_vec(), zeros(GAP - 1), b"b".to_vec(), zeros(GAP)].concat(),
        [b"a".to_vec(), zeros(5_000), b"b".to_vec(), zeros(1)].concat(),
    ];
    let named = |(n, bytes): (usize, Vec<u8>)| (format!("in/{n}"), bytes);
    let mut wanted: Files = contents.into_iter().enumerate().map(named).collect();
    wanted.insert("top".into(), b"x".to_vec());
    let packed = pack(&wanted);
    assert!(packed.len() < 400, "{} bytes", packed.len());
    let dir = tempfile::tempdir().unwrap();
    unpack(&packed, dir.path());
    assert_eq!(files(dir.path()), wanted);
}
