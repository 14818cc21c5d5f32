use std::fs;
use std::os::unix::ffi::OsStringExt;

use wiregate_sdk::value::{decode, read};

use super::*;

fn environment(credentials: Option<PathBuf>) -> Environment {
    let lookup = |name: &str| match name {
        "PORT" => Some("8080".into()),
        "TOKEN" => Some("hunter2${x}$1".into()),
        "EMPTY" => Some("".into()),
        "BINARY" => Some(OsString::from_vec(vec![0xFF])),
        _ => None,
    };
    Environment::new(lookup, credentials)
}

fn resolved(text: &str, environment: &Environment) -> (Value, Vec<String>, Files) {
    let mut value = read(&"t.yaml".into(), text).unwrap();
    let mut problems = Vec::new();
    let files = resolve(&mut value, environment, &mut problems);
    let shown = problems
        .into_iter()
        .map(|p| match p.help {
            Some(help) => format!("{} {} ({help})", p.place.line, p.message),
            None => format!("{} {}", p.place.line, p.message),
        })
        .collect();
    (value, shown, files)
}

#[test]
fn values_replace_references_and_what_was_written_is_kept() {
    let text = "port: ${env:PORT}\nauth: 'Bearer ${env:TOKEN}'\nplain: $${env:PORT}\n";
    let (value, problems, _) = resolved(text, &environment(None));
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(decode::<u16>(value.at("port")).unwrap(), 8080);
    let auth = decode::<String>(value.at("auth")).unwrap();
    assert_eq!(auth, "Bearer hunter2${x}$1");
    let plain = decode::<String>(value.at("plain")).unwrap();
    assert_eq!(plain, "${env:PORT}");
    let Node::Scalar(scalar) = &value.at("auth").node else {
        panic!("{value:?}");
    };
    assert_eq!(scalar.written.as_deref(), Some("Bearer ${env:TOKEN}"));
    assert!(!format!("{value:?}").contains("hunter2"));
}

#[test]
fn one_that_cannot_be_resolved_is_told_once_with_all_its_places() {
    let text = "a: ${env:NOPE}\nb: ['x${env:NOPE}', '${env:GONE}']\nc: ${env:NOPE}\n";
    let mut value = read(&"t.yaml".into(), text).unwrap();
    let mut problems = Vec::new();
    resolve(&mut value, &environment(None), &mut problems);
    let lines = |problem: &Problem| -> Vec<u32> {
        let also = problem.repeated().map(|place| place.line);
        [problem.place.line].into_iter().chain(also).collect()
    };
    let told: Vec<_> = problems.iter().map(|p| (&*p.message, lines(p))).collect();
    assert_eq!(
        told,
        [
            (
                "`${env:NOPE}`: the variable `NOPE` is not set",
                vec![1, 2, 3]
            ),
            ("`${env:GONE}`: the variable `GONE` is not set", vec![2]),
        ]
    );
}

#[test]
fn files_and_credentials_lose_the_line_break_at_their_end() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    fs::write(&file, "s3cret\r\n").unwrap();
    fs::write(directory.path().join("two"), "a\n\n").unwrap();
    let text = format!(
        "a: ${{file:{}}}\nb: ${{cred:key}}\nc: ${{cred:two}}\n",
        file.display()
    );
    let environment = environment(Some(directory.path().to_owned()));
    let (value, problems, files) = resolved(&text, &environment);
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(decode::<String>(value.at("a")).unwrap(), "s3cret");
    assert_eq!(decode::<String>(value.at("b")).unwrap(), "s3cret");
    assert_eq!(decode::<String>(value.at("c")).unwrap(), "a\n");
    let read: Vec<_> = files.paths().collect();
    assert_eq!(read, [&*file, &*directory.path().join("two")]);
}

#[test]
fn what_cannot_be_resolved_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display().to_string();
    fs::write(directory.path().join("big"), "x".repeat(MAX_BYTES + 1)).unwrap();
    fs::write(directory.path().join("binary"), [0xFF]).unwrap();
    fs::write(directory.path().join("empty"), "\n").unwrap();
    fs::write(directory.path().join("wiregate_sign"), "x").unwrap();
    let cred = environment(Some(directory.path().to_owned()));
    let none = environment(None);
    for (text, environment, expected) in [
        (
            "${env:NOPE}",
            &none,
            "`${env:NOPE}`: the variable `NOPE` is not set",
        ),
        ("${env:}", &none, "`${env:}`: the variable `` is not set"),
        ("${env:EMPTY}", &none, "`${env:EMPTY}` is empty"),
        (
            "${env:BINARY}",
            &none,
            "`${env:BINARY}`: expected UTF-8, found other bytes",
        ),
        (
            "${file:key}",
            &none,
            "`${file:key}`: expected an absolute path, found `key`",
        ),
        (
            "${file:/no/such}",
            &none,
            "cannot read `${file:/no/such}`: no such file",
        ),
        (
            "${file:/dev/zero}",
            &none,
            "cannot read `${file:/dev/zero}`: expected a regular file, found a device or a pipe",
        ),
        (
            "${cred:key}",
            &none,
            "`${cred:key}`: there is no credentials directory \
             (`LoadCredential=key:…` in the unit of systemd provides it)",
        ),
        (
            "${cred:key}",
            &cred,
            "cannot read `${cred:key}`: no such file",
        ),
        (
            "${cred:sign}",
            &cred,
            "cannot read `${cred:sign}`: no such file (did you mean `${cred:wiregate_sign}`?)",
        ),
        (
            "${cred:binry}",
            &cred,
            "cannot read `${cred:binry}`: no such file (did you mean `${cred:binary}`?)",
        ),
        (
            "${cred:../key}",
            &cred,
            "`${cred:../key}`: expected the name of a credential",
        ),
        (
            "${cred:big}",
            &cred,
            "cannot read `${cred:big}`: expected at most 64 KiB, found more",
        ),
        (
            "${cred:binary}",
            &cred,
            "`${cred:binary}`: expected UTF-8, found other bytes",
        ),
        ("${cred:empty}", &cred, "`${cred:empty}` is empty"),
        (
            "${evn:PORT}",
            &none,
            "`${evn:PORT}`: unknown reference `evn:` (did you mean `env:`?)",
        ),
        (
            "${vault:kv}",
            &none,
            "`${vault:kv}`: unknown reference `vault:` (references begin with `env:`, `file:` or `cred:`)",
        ),
    ] {
        let (_, problems, _) = resolved(&format!("a:\n  - '{text}'\n"), environment);
        assert_eq!(problems, [format!("2 {expected}")], "{path}");
    }
}

#[test]
fn a_directory_is_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let text = format!("a: ${{file:{}}}\n", directory.path().display());
    let (_, problems, _) = resolved(&text, &environment(None));
    assert!(problems[0].ends_with("expected a file, found a directory"));
}

#[test]
fn expressions_stay_as_they_are() {
    let (value, problems, _) = resolved("a: ${client.address}\n", &environment(None));
    assert_eq!(problems, Vec::<String>::new());
    let problems = decode::<String>(value.at("a")).unwrap_err();
    assert_eq!(
        problems[0].message,
        "`${client.address}` is only possible in templates"
    );
}
